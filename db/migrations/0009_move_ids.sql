ALTER TABLE "profiles" ADD COLUMN "move_id" text;--> statement-breakpoint
ALTER TABLE "volume_removals" ADD COLUMN "claim" text;--> statement-breakpoint
ALTER TABLE "volume_removals" ADD COLUMN "claimed_until" timestamp with time zone;