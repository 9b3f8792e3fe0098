mod blis;
#[cfg(unix)]
mod by_hand;
mod constraints;
mod first_passage;
mod hostile;
mod no_authentication;
mod no_contract;
mod no_procedure;
mod over_extraction;
mod plain_disk;
mod resumed;
mod shared_accounts;
