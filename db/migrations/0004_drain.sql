CREATE TABLE "volume_removals" (
	"id" text PRIMARY KEY NOT NULL,
	"host_id" text NOT NULL,
	"tenant" text NOT NULL,
	"owner_hash" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
ALTER TABLE "hosts" ADD COLUMN "drain_until" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "profiles" ADD COLUMN "moving_to" text;--> statement-breakpoint
ALTER TABLE "profiles" ADD COLUMN "moving_until" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "volume_removals" ADD CONSTRAINT "volume_removals_host_id_hosts_id_fk" FOREIGN KEY ("host_id") REFERENCES "public"."hosts"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "volume_removals_host" ON "volume_removals" USING btree ("host_id");--> statement-breakpoint
ALTER TABLE "profiles" ADD CONSTRAINT "profiles_moving_to_hosts_id_fk" FOREIGN KEY ("moving_to") REFERENCES "public"."hosts"("id") ON DELETE no action ON UPDATE no action;