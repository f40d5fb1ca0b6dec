-- CreateTable
CREATE TABLE "mails" (
    "id" TEXT NOT NULL,
    "sealed" BYTEA NOT NULL,
    "attempts" INTEGER NOT NULL,
    "due_at" BIGINT NOT NULL,
    "expires_at" BIGINT NOT NULL,

    CONSTRAINT "mails_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "mails_due_at_idx" ON "mails"("due_at");

-- CreateIndex
CREATE INDEX "users_email_idx" ON "users"("email");
