CREATE TABLE "audit" (
	"seq" bigserial PRIMARY KEY NOT NULL,
	"at" timestamp with time zone DEFAULT now() NOT NULL,
	"tenant" text NOT NULL,
	"subject" text NOT NULL,
	"token_id" text,
	"action" text NOT NULL,
	"target" text NOT NULL,
	"status" integer NOT NULL,
	"code" text,
	"address" text NOT NULL,
	"request_id" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "issuers" (
	"id" text PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"issuer" text NOT NULL,
	"jwks_url" text NOT NULL,
	"audience" text NOT NULL,
	"algorithms" jsonb NOT NULL,
	"claims" jsonb NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "tokens" (
	"id" text PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"subject" text NOT NULL,
	"scopes" jsonb NOT NULL,
	"owner" text,
	"mode" text,
	"parent" text,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp with time zone NOT NULL,
	"revoked_at" timestamp with time zone
);
--> statement-breakpoint
ALTER TABLE "signing_keys" ADD COLUMN "active_at" timestamp with time zone DEFAULT now() NOT NULL;--> statement-breakpoint
ALTER TABLE "signing_keys" ADD COLUMN "retired_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "tenants" ADD COLUMN "suspended_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "tenants" ADD COLUMN "frame_ancestors" jsonb DEFAULT '[]'::jsonb NOT NULL;--> statement-breakpoint
ALTER TABLE "tenants" ADD COLUMN "max_runtimes" integer;--> statement-breakpoint
ALTER TABLE "tenants" ADD COLUMN "max_memory_bytes" bigint;--> statement-breakpoint
ALTER TABLE "tenants" ADD COLUMN "max_cpu_millis" integer;--> statement-breakpoint
ALTER TABLE "tenants" ADD COLUMN "creates_per_minute" integer;--> statement-breakpoint
ALTER TABLE "tenants" ADD COLUMN "at_cap" text DEFAULT 'reject' NOT NULL;--> statement-breakpoint
ALTER TABLE "tenants" ADD COLUMN "queue_limit" integer DEFAULT 100 NOT NULL;--> statement-breakpoint
ALTER TABLE "tenants" ADD COLUMN "used_runtimes" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "tenants" ADD COLUMN "used_memory_bytes" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "tenants" ADD COLUMN "used_cpu_millis" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "tenants" ADD COLUMN "create_minute" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "tenants" ADD COLUMN "create_count" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "tickets" ADD COLUMN "token_id" text;--> statement-breakpoint
ALTER TABLE "tickets" ADD COLUMN "good_until" timestamp with time zone NOT NULL;--> statement-breakpoint
ALTER TABLE "issuers" ADD CONSTRAINT "issuers_tenant_tenants_slug_fk" FOREIGN KEY ("tenant") REFERENCES "public"."tenants"("slug") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "tokens" ADD CONSTRAINT "tokens_tenant_tenants_slug_fk" FOREIGN KEY ("tenant") REFERENCES "public"."tenants"("slug") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "audit_tenant" ON "audit" USING btree ("tenant","seq");--> statement-breakpoint
CREATE UNIQUE INDEX "issuers_issuer" ON "issuers" USING btree ("issuer");--> statement-breakpoint
CREATE INDEX "issuers_tenant" ON "issuers" USING btree ("tenant","id");--> statement-breakpoint
CREATE INDEX "tokens_tenant" ON "tokens" USING btree ("tenant","id");--> statement-breakpoint
CREATE INDEX "tokens_parent" ON "tokens" USING btree ("parent");--> statement-breakpoint
CREATE INDEX "tokens_revoked" ON "tokens" USING btree ("revoked_at") WHERE "tokens"."revoked_at" is not null;--> statement-breakpoint
ALTER TABLE "tenants" ADD CONSTRAINT "tenants_used_not_negative" CHECK ("tenants"."used_runtimes" >= 0 and "tenants"."used_memory_bytes" >= 0 and "tenants"."used_cpu_millis" >= 0);