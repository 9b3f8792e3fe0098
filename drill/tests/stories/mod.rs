mod first_passage;
mod no_contract;
mod no_procedure;
