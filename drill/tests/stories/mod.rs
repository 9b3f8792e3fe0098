mod first_passage;
