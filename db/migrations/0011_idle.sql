ALTER TABLE "runtimes" ADD COLUMN "idle" jsonb DEFAULT '{}'::jsonb NOT NULL;--> statement-breakpoint
ALTER TABLE "runtimes" ADD COLUMN "idle_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "runtimes" ADD COLUMN "warned_for" timestamp with time zone;--> statement-breakpoint
CREATE INDEX "runtimes_idle" ON "runtimes" USING btree ("idle_at") WHERE "runtimes"."idle_at" is not null;