-- CreateTable
CREATE TABLE "mails" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "sealed" BLOB NOT NULL,
    "attempts" INTEGER NOT NULL,
    "due_at" BIGINT NOT NULL,
    "expires_at" BIGINT NOT NULL
);

-- CreateIndex
CREATE INDEX "mails_due_at_idx" ON "mails"("due_at");

-- CreateIndex
CREATE INDEX "users_email_idx" ON "users"("email");
