/// In which form rows leave the laboratory's machine. There is one.
///
/// The feature `unsealed` adds another, for the stories only: a search for leaks that finds nothing says something only
/// if it finds everything once nothing is sealed. It changes nothing for whoever does not hand it in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Encrypted and compressed.
    #[default]
    Sealed,
    /// Neither. Nothing opens such a parcel.
    #[cfg(feature = "unsealed")]
    Unsealed,
}
