-- One row a thing; no rules here. Facts are the truth; `migration` is a projection, compared with them at start.
CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL, root TEXT NOT NULL) STRICT;
INSERT INTO head VALUES (1, 0, 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');

CREATE TABLE leaf (number INTEGER PRIMARY KEY, hash TEXT NOT NULL, body BLOB NOT NULL) STRICT;

CREATE TABLE root (id TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;

-- One key is one person's: a second person with the same key has no row to refer to.
CREATE TABLE device (
  key TEXT PRIMARY KEY, root TEXT NOT NULL REFERENCES root (id), person TEXT NOT NULL,
  UNIQUE (key, root, person)
) STRICT;

CREATE TABLE certificate (
  digest TEXT PRIMARY KEY, key TEXT NOT NULL, root TEXT NOT NULL, person TEXT NOT NULL, body TEXT NOT NULL,
  FOREIGN KEY (key, root, person) REFERENCES device (key, root, person)
) STRICT;

CREATE TABLE revocation (digest TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;

CREATE TABLE migration (id TEXT PRIMARY KEY, facts INTEGER NOT NULL, stage TEXT NOT NULL, state TEXT NOT NULL) STRICT;

CREATE TABLE fact (
  migration TEXT NOT NULL REFERENCES migration (id), number INTEGER NOT NULL, leaf INTEGER NOT NULL UNIQUE REFERENCES leaf (number),
  nonce TEXT NOT NULL, entry TEXT NOT NULL,
  PRIMARY KEY (migration, number)
) STRICT;

CREATE TABLE strongroom (consignment TEXT PRIMARY KEY, migration TEXT NOT NULL REFERENCES migration (id), wrapped BLOB NOT NULL) STRICT;

CREATE TABLE parcel (
  consignment TEXT NOT NULL, attempt INTEGER NOT NULL, parcel TEXT NOT NULL, bytes INTEGER NOT NULL, digest TEXT NOT NULL,
  PRIMARY KEY (consignment, attempt, parcel)
) STRICT;

CREATE TABLE document (
  migration TEXT NOT NULL REFERENCES migration (id), digest TEXT NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (migration, digest)
) STRICT;

-- Requests that were accepted and could still be played again.
CREATE TABLE nonce (keyid TEXT NOT NULL, nonce TEXT NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (keyid, nonce)) STRICT;
