-- Whether it was not on the shelf any more when the emptying of the shelf began.
ALTER TABLE parcel ADD COLUMN absent INTEGER NOT NULL DEFAULT 0;

-- Whether that was looked at: what an emptying that was cut has deleted is not absent.
ALTER TABLE strongroom ADD COLUMN looked INTEGER NOT NULL DEFAULT 0;
