-- AlterTable
ALTER TABLE "signing_keys" ADD COLUMN     "longest_ttl" INTEGER NOT NULL DEFAULT 0;
