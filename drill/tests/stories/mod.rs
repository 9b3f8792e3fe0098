mod blis;
mod first_passage;
mod no_authentication;
mod no_contract;
mod no_procedure;
mod resumed;
