CREATE TABLE "events" (
	"seq" bigserial PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"runtime_id" text NOT NULL,
	"type" text NOT NULL,
	"generation" bigint NOT NULL,
	"from_state" text,
	"to_state" text NOT NULL,
	"reason" text,
	"data" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "hosts" (
	"id" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"url" text NOT NULL,
	"public_key" text NOT NULL,
	"schedulable" boolean DEFAULT true NOT NULL,
	"memory_bytes" bigint DEFAULT 0 NOT NULL,
	"cpu_millis" integer DEFAULT 0 NOT NULL,
	"slots" integer DEFAULT 0 NOT NULL,
	"gpus" integer DEFAULT 0 NOT NULL,
	"reserved_memory_bytes" bigint DEFAULT 0 NOT NULL,
	"reserved_cpu_millis" integer DEFAULT 0 NOT NULL,
	"reserved_slots" integer DEFAULT 0 NOT NULL,
	"reserved_gpus" integer DEFAULT 0 NOT NULL,
	"load" real DEFAULT 0 NOT NULL,
	"engine_version" text DEFAULT '' NOT NULL,
	"images" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"labels" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"last_seen_at" timestamp with time zone,
	CONSTRAINT "hosts_reserved_not_negative" CHECK ("hosts"."reserved_memory_bytes" >= 0 and "hosts"."reserved_cpu_millis" >= 0 and "hosts"."reserved_slots" >= 0 and "hosts"."reserved_gpus" >= 0)
);
--> statement-breakpoint
CREATE TABLE "idempotency_keys" (
	"digest" text PRIMARY KEY NOT NULL,
	"request_digest" text NOT NULL,
	"status" integer,
	"body" json,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "join_tokens" (
	"digest" text PRIMARY KEY NOT NULL,
	"created_by" text NOT NULL,
	"expires_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "profiles" (
	"id" text PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"mode" text NOT NULL,
	"owner" text NOT NULL,
	"owner_hash" text NOT NULL,
	"host_id" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"last_used_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "runtimes" (
	"id" text PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"mode" text NOT NULL,
	"owner" text NOT NULL,
	"owner_hash" text NOT NULL,
	"spec" text NOT NULL,
	"state" text DEFAULT 'pending' NOT NULL,
	"generation" bigint DEFAULT 0 NOT NULL,
	"host_id" text,
	"reserved" boolean DEFAULT false NOT NULL,
	"need_memory_bytes" bigint NOT NULL,
	"need_cpu_millis" integer NOT NULL,
	"need_gpus" integer DEFAULT 0 NOT NULL,
	"labels" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"start" jsonb NOT NULL,
	"remove_volume" boolean DEFAULT false NOT NULL,
	"error" jsonb,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"ready_at" timestamp with time zone,
	"last_used_at" timestamp with time zone DEFAULT now() NOT NULL,
	"state_at" timestamp with time zone DEFAULT now() NOT NULL,
	"deleted_at" timestamp with time zone,
	"work_until" timestamp with time zone,
	"work_tries" integer DEFAULT 0 NOT NULL,
	CONSTRAINT "runtimes_reserved_on_host" CHECK (not "runtimes"."reserved" or "runtimes"."host_id" is not null)
);
--> statement-breakpoint
CREATE TABLE "signing_keys" (
	"kid" text PRIMARY KEY NOT NULL,
	"public_key" text NOT NULL,
	"sealed_private_key" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "tenants" (
	"slug" text PRIMARY KEY NOT NULL,
	"mode" text DEFAULT 'shared' NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "tickets" (
	"digest" text PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"runtime_id" text NOT NULL,
	"owner_hash" text NOT NULL,
	"access" text NOT NULL,
	"subject" text NOT NULL,
	"expires_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
ALTER TABLE "profiles" ADD CONSTRAINT "profiles_tenant_tenants_slug_fk" FOREIGN KEY ("tenant") REFERENCES "public"."tenants"("slug") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "profiles" ADD CONSTRAINT "profiles_host_id_hosts_id_fk" FOREIGN KEY ("host_id") REFERENCES "public"."hosts"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "runtimes" ADD CONSTRAINT "runtimes_tenant_tenants_slug_fk" FOREIGN KEY ("tenant") REFERENCES "public"."tenants"("slug") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "runtimes" ADD CONSTRAINT "runtimes_host_id_hosts_id_fk" FOREIGN KEY ("host_id") REFERENCES "public"."hosts"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "tickets" ADD CONSTRAINT "tickets_runtime_id_runtimes_id_fk" FOREIGN KEY ("runtime_id") REFERENCES "public"."runtimes"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "events_runtime" ON "events" USING btree ("runtime_id","seq");--> statement-breakpoint
CREATE INDEX "events_tenant" ON "events" USING btree ("tenant","seq");--> statement-breakpoint
CREATE UNIQUE INDEX "hosts_public_key" ON "hosts" USING btree ("public_key");--> statement-breakpoint
CREATE INDEX "idempotency_keys_age" ON "idempotency_keys" USING btree ("created_at");--> statement-breakpoint
CREATE UNIQUE INDEX "profiles_owner" ON "profiles" USING btree ("tenant","mode","owner");--> statement-breakpoint
CREATE INDEX "profiles_host" ON "profiles" USING btree ("host_id");--> statement-breakpoint
CREATE UNIQUE INDEX "runtimes_live_owner" ON "runtimes" USING btree ("tenant","mode","owner") WHERE "runtimes"."state" <> 'deleted';--> statement-breakpoint
CREATE UNIQUE INDEX "runtimes_live_hash" ON "runtimes" USING btree ("owner_hash") WHERE "runtimes"."state" <> 'deleted';--> statement-breakpoint
CREATE INDEX "runtimes_tenant_id" ON "runtimes" USING btree ("tenant","id");--> statement-breakpoint
CREATE INDEX "runtimes_hash" ON "runtimes" USING btree ("owner_hash","id");--> statement-breakpoint
CREATE INDEX "runtimes_host" ON "runtimes" USING btree ("host_id") WHERE "runtimes"."state" <> 'deleted';--> statement-breakpoint
CREATE INDEX "runtimes_work" ON "runtimes" USING btree ("work_until") WHERE "runtimes"."work_until" is not null;--> statement-breakpoint
CREATE INDEX "tickets_expiry" ON "tickets" USING btree ("expires_at");