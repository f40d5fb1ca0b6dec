-- CreateTable
CREATE TABLE "data_keys" (
    "id" TEXT NOT NULL,
    "purpose" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    "wrapped" BYTEA NOT NULL,
    "wrapped_by" TEXT NOT NULL,
    "created_at" BIGINT NOT NULL,

    CONSTRAINT "data_keys_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "signing_keys" (
    "kid" TEXT NOT NULL,
    "alg" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    "public_jwk" TEXT NOT NULL,
    "sealed" BYTEA NOT NULL,
    "created_at" BIGINT NOT NULL,
    "active_from" BIGINT NOT NULL,
    "retires_at" BIGINT,

    CONSTRAINT "signing_keys_pkey" PRIMARY KEY ("kid")
);

-- CreateTable
CREATE TABLE "clients" (
    "id" TEXT NOT NULL,
    "metadata" TEXT NOT NULL,
    "enabled" BOOLEAN NOT NULL,
    "generation" TEXT NOT NULL,
    "version" INTEGER NOT NULL,
    "created_at" BIGINT NOT NULL,
    "updated_at" BIGINT NOT NULL,

    CONSTRAINT "clients_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "client_secrets" (
    "id" TEXT NOT NULL,
    "client_id" TEXT NOT NULL,
    "name" TEXT,
    "hint" TEXT NOT NULL,
    "hash" BYTEA NOT NULL,
    "created_at" BIGINT NOT NULL,
    "expires_at" BIGINT,
    "revoked_at" BIGINT,
    "last_used_at" BIGINT,

    CONSTRAINT "client_secrets_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "apis" (
    "identifier" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "access_token_format" TEXT NOT NULL,
    "access_token_ttl" INTEGER,
    "signing_alg" TEXT NOT NULL,
    "version" INTEGER NOT NULL,
    "created_at" BIGINT NOT NULL,
    "updated_at" BIGINT NOT NULL,

    CONSTRAINT "apis_pkey" PRIMARY KEY ("identifier")
);

-- CreateTable
CREATE TABLE "api_scopes" (
    "name" TEXT NOT NULL,
    "api" TEXT NOT NULL,
    "description" TEXT NOT NULL,
    "position" INTEGER NOT NULL,

    CONSTRAINT "api_scopes_pkey" PRIMARY KEY ("name")
);

-- CreateTable
CREATE TABLE "users" (
    "id" TEXT NOT NULL,
    "username" TEXT NOT NULL,
    "username_key" TEXT NOT NULL,
    "email" TEXT,
    "email_verified" BOOLEAN NOT NULL,
    "name" TEXT,
    "claims" TEXT NOT NULL,
    "enabled" BOOLEAN NOT NULL,
    "generation" TEXT NOT NULL,
    "password_hash" TEXT,
    "password_changed_at" BIGINT,
    "version" INTEGER NOT NULL,
    "created_at" BIGINT NOT NULL,
    "updated_at" BIGINT NOT NULL,

    CONSTRAINT "users_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "sessions" (
    "uid" TEXT NOT NULL,
    "hash" BYTEA NOT NULL,
    "user_id" TEXT,
    "user_generation" TEXT,
    "payload" BYTEA NOT NULL,
    "ip" TEXT,
    "user_agent" TEXT,
    "created_at" BIGINT NOT NULL,
    "seen_at" BIGINT NOT NULL,
    "expires_at" BIGINT NOT NULL,

    CONSTRAINT "sessions_pkey" PRIMARY KEY ("uid")
);

-- CreateTable
CREATE TABLE "consents" (
    "user_id" TEXT NOT NULL,
    "client_id" TEXT NOT NULL,
    "scopes" TEXT NOT NULL,
    "generation" TEXT NOT NULL,
    "created_at" BIGINT NOT NULL,
    "updated_at" BIGINT NOT NULL,

    CONSTRAINT "consents_pkey" PRIMARY KEY ("user_id","client_id")
);

-- CreateTable
CREATE TABLE "families" (
    "id" TEXT NOT NULL,
    "user_id" TEXT NOT NULL,
    "client_id" TEXT NOT NULL,
    "session_uid" TEXT,
    "client_generation" TEXT NOT NULL,
    "user_generation" TEXT NOT NULL,
    "consent_generation" TEXT NOT NULL,
    "grant_payload" BYTEA NOT NULL,
    "token_payload" BYTEA,
    "current" BYTEA,
    "previous" BYTEA,
    "successor" BYTEA,
    "rotated_at" BIGINT,
    "used_at" BIGINT,
    "created_at" BIGINT NOT NULL,
    "ends_at" BIGINT NOT NULL,
    "idle_ends_at" BIGINT,
    "access_ends_at" BIGINT,
    "check_at" BIGINT NOT NULL,
    "dead_at" BIGINT,
    "dead_reason" TEXT,

    CONSTRAINT "families_pkey" PRIMARY KEY ("id")
) WITH (fillfactor = 85); -- by hand: room for HOT updates

-- CreateTable
CREATE TABLE "artifacts" (
    "hash" BYTEA NOT NULL,
    "kind" TEXT NOT NULL,
    "payload" BYTEA NOT NULL,
    "grant_id" TEXT,
    "user_code" BYTEA,
    "consumed_at" BIGINT,
    "expires_at" BIGINT NOT NULL,

    CONSTRAINT "artifacts_pkey" PRIMARY KEY ("hash")
) WITH (fillfactor = 85); -- by hand: room for HOT updates

-- CreateTable
CREATE TABLE "denied_tokens" (
    "jti" TEXT NOT NULL,
    "expires_at" BIGINT NOT NULL,

    CONSTRAINT "denied_tokens_pkey" PRIMARY KEY ("jti")
);

-- CreateTable
CREATE TABLE "audit_events" (
    "id" TEXT NOT NULL,
    "time" BIGINT NOT NULL,
    "type" TEXT NOT NULL,
    "actor" TEXT,
    "client_id" TEXT,
    "user_id" TEXT,
    "grant_id" TEXT,
    "ip" TEXT,
    "request_id" TEXT,
    "detail" TEXT NOT NULL,

    CONSTRAINT "audit_events_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "throttles" (
    "key" BYTEA NOT NULL,
    "failures" INTEGER NOT NULL,
    "blocked_until" BIGINT NOT NULL,
    "expires_at" BIGINT NOT NULL,

    CONSTRAINT "throttles_pkey" PRIMARY KEY ("key")
);

-- CreateTable
CREATE TABLE "change_counters" (
    "name" TEXT NOT NULL,
    "value" BIGINT NOT NULL,

    CONSTRAINT "change_counters_pkey" PRIMARY KEY ("name")
);

-- CreateTable
CREATE TABLE "leases" (
    "name" TEXT NOT NULL,
    "holder" TEXT NOT NULL,
    "expires_at" BIGINT NOT NULL,

    CONSTRAINT "leases_pkey" PRIMARY KEY ("name")
);

-- CreateIndex
CREATE INDEX "clients_created_at_id_idx" ON "clients"("created_at", "id");

-- CreateIndex
CREATE INDEX "client_secrets_client_id_idx" ON "client_secrets"("client_id");

-- CreateIndex
CREATE INDEX "apis_created_at_identifier_idx" ON "apis"("created_at", "identifier");

-- CreateIndex
CREATE INDEX "api_scopes_api_idx" ON "api_scopes"("api");

-- CreateIndex
CREATE UNIQUE INDEX "users_username_key_key" ON "users"("username_key");

-- CreateIndex
CREATE INDEX "users_created_at_id_idx" ON "users"("created_at", "id");

-- CreateIndex
CREATE UNIQUE INDEX "sessions_hash_key" ON "sessions"("hash");

-- CreateIndex
CREATE INDEX "sessions_user_id_idx" ON "sessions"("user_id");

-- CreateIndex
CREATE INDEX "sessions_expires_at_idx" ON "sessions"("expires_at");

-- CreateIndex
CREATE INDEX "consents_client_id_idx" ON "consents"("client_id");

-- CreateIndex
CREATE INDEX "families_user_id_idx" ON "families"("user_id");

-- CreateIndex
CREATE INDEX "families_client_id_idx" ON "families"("client_id");

-- CreateIndex
CREATE INDEX "families_session_uid_idx" ON "families"("session_uid");

-- CreateIndex
CREATE INDEX "families_check_at_idx" ON "families"("check_at");

-- CreateIndex
CREATE UNIQUE INDEX "artifacts_user_code_key" ON "artifacts"("user_code");

-- CreateIndex
CREATE INDEX "artifacts_grant_id_idx" ON "artifacts"("grant_id");

-- CreateIndex
CREATE INDEX "artifacts_expires_at_idx" ON "artifacts"("expires_at");

-- CreateIndex
CREATE INDEX "denied_tokens_expires_at_idx" ON "denied_tokens"("expires_at");

-- CreateIndex
CREATE INDEX "audit_events_type_id_idx" ON "audit_events"("type", "id");

-- CreateIndex
CREATE INDEX "audit_events_client_id_id_idx" ON "audit_events"("client_id", "id");

-- CreateIndex
CREATE INDEX "audit_events_user_id_id_idx" ON "audit_events"("user_id", "id");

-- CreateIndex
CREATE INDEX "throttles_expires_at_idx" ON "throttles"("expires_at");
