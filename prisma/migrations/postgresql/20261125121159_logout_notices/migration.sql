-- CreateTable
CREATE TABLE "logout_notices" (
    "id" TEXT NOT NULL,
    "client_id" TEXT NOT NULL,
    "user_id" TEXT NOT NULL,
    "sid" TEXT NOT NULL,
    "attempts" INTEGER NOT NULL,
    "due_at" BIGINT,
    "error" TEXT,
    "expires_at" BIGINT NOT NULL,

    CONSTRAINT "logout_notices_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "logout_notices_due_at_client_id_idx" ON "logout_notices"("due_at", "client_id");

-- CreateIndex
CREATE INDEX "logout_notices_expires_at_idx" ON "logout_notices"("expires_at");
