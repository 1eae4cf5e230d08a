DROP INDEX "runtimes_tenant_id";--> statement-breakpoint
CREATE INDEX "profiles_hash" ON "profiles" USING btree ("owner_hash");--> statement-breakpoint
CREATE INDEX "runtimes_tenant_live" ON "runtimes" USING btree ("tenant","id") WHERE "runtimes"."state" <> 'deleted';--> statement-breakpoint
CREATE INDEX "runtimes_tenant_state" ON "runtimes" USING btree ("tenant","state","id");