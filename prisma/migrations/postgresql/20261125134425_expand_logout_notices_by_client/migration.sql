-- CreateIndex
CREATE INDEX "logout_notices_client_id_due_at_idx" ON "logout_notices"("client_id", "due_at");
