-- A heartbeat changes a host's row every five seconds. With room beside it on its page the new version stays there, no index
-- has to be told, and the old ones are cleared away by whoever comes by next (heap-only tuples).
ALTER TABLE "hosts" SET (fillfactor = 50);
