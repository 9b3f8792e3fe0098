-- Which shelf it was whose parcels were looked for before it was emptied, in the place of `looked`: what one shelf has says
-- nothing of another.
ALTER TABLE strongroom ADD COLUMN shelf TEXT;
