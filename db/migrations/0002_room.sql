ALTER TABLE "hosts" ADD COLUMN "certificate" text;--> statement-breakpoint
ALTER TABLE "hosts" ADD COLUMN "removed_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "idempotency_keys" ADD COLUMN "claim" text DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "runtimes" ADD COLUMN "counted" boolean DEFAULT false NOT NULL;--> statement-breakpoint
-- Until now what was reserved was also counted.
UPDATE "runtimes" SET "counted" = "reserved";--> statement-breakpoint
ALTER TABLE "runtimes" ADD COLUMN "line_since" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "runtimes" ADD COLUMN "line_until" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "runtimes" ADD COLUMN "wait_until" timestamp with time zone;--> statement-breakpoint
CREATE INDEX "runtimes_line" ON "runtimes" USING btree ("tenant","line_since") WHERE "runtimes"."line_since" is not null;--> statement-breakpoint
ALTER TABLE "runtimes" ADD CONSTRAINT "runtimes_counted_on_host" CHECK (not "runtimes"."counted" or "runtimes"."reserved");