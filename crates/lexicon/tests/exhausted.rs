//! In a process of its own: it takes every page and every file descriptor that a process may have.

use lexicon::Guarded;

#[test]
fn bytes_that_no_page_is_left_for_come_back_all_the_same() {
    let many: Vec<Guarded> = (0..30_000_u16).map(|number| Guarded::copied(&number.to_be_bytes())).collect();
    assert!(many.iter().any(|guarded| !guarded.is_apart()), "the limit was not met");
    for (number, guarded) in (0..30_000_u16).zip(&many) {
        assert_eq!(guarded.expose(), number.to_be_bytes());
    }
}
