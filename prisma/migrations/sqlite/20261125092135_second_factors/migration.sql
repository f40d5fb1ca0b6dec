-- CreateTable
CREATE TABLE "totp_secrets" (
    "user_id" TEXT NOT NULL PRIMARY KEY,
    "sealed" BLOB NOT NULL,
    "last_step" BIGINT NOT NULL,
    "created_at" BIGINT NOT NULL,
    "last_used_at" BIGINT
);

-- CreateTable
CREATE TABLE "recovery_codes" (
    "hash" BLOB NOT NULL PRIMARY KEY,
    "user_id" TEXT NOT NULL
);

-- CreateIndex
CREATE INDEX "recovery_codes_user_id_idx" ON "recovery_codes"("user_id");
