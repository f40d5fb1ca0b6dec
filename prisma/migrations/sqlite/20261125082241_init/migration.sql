-- CreateTable
CREATE TABLE "data_keys" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "purpose" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    "wrapped" BLOB NOT NULL,
    "wrapped_by" TEXT NOT NULL,
    "created_at" BIGINT NOT NULL
);

-- CreateTable
CREATE TABLE "signing_keys" (
    "kid" TEXT NOT NULL PRIMARY KEY,
    "alg" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    "public_jwk" TEXT NOT NULL,
    "sealed" BLOB NOT NULL,
    "created_at" BIGINT NOT NULL,
    "active_from" BIGINT NOT NULL,
    "retires_at" BIGINT
);

-- CreateTable
CREATE TABLE "clients" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "metadata" TEXT NOT NULL,
    "enabled" BOOLEAN NOT NULL,
    "generation" TEXT NOT NULL,
    "version" INTEGER NOT NULL,
    "created_at" BIGINT NOT NULL,
    "updated_at" BIGINT NOT NULL
);

-- CreateTable
CREATE TABLE "client_secrets" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "client_id" TEXT NOT NULL,
    "name" TEXT,
    "hint" TEXT NOT NULL,
    "hash" BLOB NOT NULL,
    "created_at" BIGINT NOT NULL,
    "expires_at" BIGINT,
    "revoked_at" BIGINT,
    "last_used_at" BIGINT
);

-- CreateTable
CREATE TABLE "apis" (
    "identifier" TEXT NOT NULL PRIMARY KEY,
    "name" TEXT NOT NULL,
    "access_token_format" TEXT NOT NULL,
    "access_token_ttl" INTEGER,
    "signing_alg" TEXT NOT NULL,
    "version" INTEGER NOT NULL,
    "created_at" BIGINT NOT NULL,
    "updated_at" BIGINT NOT NULL
);

-- CreateTable
CREATE TABLE "api_scopes" (
    "name" TEXT NOT NULL PRIMARY KEY,
    "api" TEXT NOT NULL,
    "description" TEXT NOT NULL,
    "position" INTEGER NOT NULL
);

-- CreateTable
CREATE TABLE "users" (
    "id" TEXT NOT NULL PRIMARY KEY,
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
    "updated_at" BIGINT NOT NULL
);

-- CreateTable
CREATE TABLE "sessions" (
    "uid" TEXT NOT NULL PRIMARY KEY,
    "hash" BLOB NOT NULL,
    "user_id" TEXT,
    "user_generation" TEXT,
    "payload" BLOB NOT NULL,
    "ip" TEXT,
    "user_agent" TEXT,
    "created_at" BIGINT NOT NULL,
    "seen_at" BIGINT NOT NULL,
    "expires_at" BIGINT NOT NULL
);

-- CreateTable
CREATE TABLE "consents" (
    "user_id" TEXT NOT NULL,
    "client_id" TEXT NOT NULL,
    "scopes" TEXT NOT NULL,
    "generation" TEXT NOT NULL,
    "created_at" BIGINT NOT NULL,
    "updated_at" BIGINT NOT NULL,

    PRIMARY KEY ("user_id", "client_id")
);

-- CreateTable
CREATE TABLE "families" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "user_id" TEXT NOT NULL,
    "client_id" TEXT NOT NULL,
    "session_uid" TEXT,
    "client_generation" TEXT NOT NULL,
    "user_generation" TEXT NOT NULL,
    "consent_generation" TEXT NOT NULL,
    "grant_payload" BLOB NOT NULL,
    "token_payload" BLOB,
    "current" BLOB,
    "previous" BLOB,
    "successor" BLOB,
    "rotated_at" BIGINT,
    "used_at" BIGINT,
    "created_at" BIGINT NOT NULL,
    "ends_at" BIGINT NOT NULL,
    "idle_ends_at" BIGINT,
    "access_ends_at" BIGINT,
    "check_at" BIGINT NOT NULL,
    "dead_at" BIGINT,
    "dead_reason" TEXT
);

-- CreateTable
CREATE TABLE "artifacts" (
    "hash" BLOB NOT NULL PRIMARY KEY,
    "kind" TEXT NOT NULL,
    "payload" BLOB NOT NULL,
    "grant_id" TEXT,
    "user_code" BLOB,
    "consumed_at" BIGINT,
    "expires_at" BIGINT NOT NULL
);

-- CreateTable
CREATE TABLE "denied_tokens" (
    "jti" TEXT NOT NULL PRIMARY KEY,
    "expires_at" BIGINT NOT NULL
);

-- CreateTable
CREATE TABLE "audit_events" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "time" BIGINT NOT NULL,
    "type" TEXT NOT NULL,
    "actor" TEXT,
    "client_id" TEXT,
    "user_id" TEXT,
    "grant_id" TEXT,
    "ip" TEXT,
    "request_id" TEXT,
    "detail" TEXT NOT NULL
);

-- CreateTable
CREATE TABLE "throttles" (
    "key" BLOB NOT NULL PRIMARY KEY,
    "failures" INTEGER NOT NULL,
    "blocked_until" BIGINT NOT NULL,
    "expires_at" BIGINT NOT NULL
);

-- CreateTable
CREATE TABLE "change_counters" (
    "name" TEXT NOT NULL PRIMARY KEY,
    "value" BIGINT NOT NULL
);

-- CreateTable
CREATE TABLE "leases" (
    "name" TEXT NOT NULL PRIMARY KEY,
    "holder" TEXT NOT NULL,
    "expires_at" BIGINT NOT NULL
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
