-- transaction: none
DROP INDEX CONCURRENTLY IF EXISTS message_sent;
