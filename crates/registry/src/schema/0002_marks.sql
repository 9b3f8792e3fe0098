-- When a consignment is destroyed, whoever does nothing: what its opening says, for the day on which the facts cannot be read.
ALTER TABLE strongroom ADD COLUMN deadline TEXT;

-- What the server found out or did and no fact says; the journal says it in the note of that leaf, if it took one.
CREATE TABLE mark (subject TEXT NOT NULL, kind TEXT NOT NULL, at TEXT NOT NULL, leaf INTEGER, PRIMARY KEY (subject, kind)) STRICT;

-- Roots that the operator admits, signed with the server's key, until the server takes them up.
CREATE TABLE admission (root TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;
