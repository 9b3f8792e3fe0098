//! Who plays: two organisations and their five persons. None of them exists.

/// One of the two organisations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Organisation {
    /// The folder that holds its root.
    pub(super) folder: &'static str,
    pub(super) name: &'static str,
}

/// One person with one device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Person {
    /// Their role, and the name of their folder.
    pub(super) role: &'static str,
    pub(super) name: &'static str,
    pub(super) of: Organisation,
}

impl Person {
    /// `Claire Le Goff (controller, Laboratoire des Halles)`.
    pub(super) fn introduced(&self) -> String {
        format!("{} ({}, {})", self.name, self.role, self.of.name)
    }
}

pub(super) const LABORATORY: Organisation = Organisation { folder: "laboratory", name: "Laboratoire des Halles" };
pub(super) const VENDOR: Organisation = Organisation { folder: "vendor", name: "Editeur Biolog" };

pub(super) const CONTROLLER: Person = Person { role: "controller", name: "Claire Le Goff", of: LABORATORY };
pub(super) const OPERATOR: Person = Person { role: "operator", name: "Yann Kerbrat", of: LABORATORY };
pub(super) const ENGINEER: Person = Person { role: "engineer", name: "Ines Moreau", of: VENDOR };
pub(super) const APPROVER: Person = Person { role: "approver", name: "Paul Lambert", of: VENDOR };
pub(super) const RECIPIENT: Person = Person { role: "recipient", name: "Sofia Nunes", of: VENDOR };

/// Those of the laboratory, and those of the vendor.
pub(super) const PEOPLE: [(Organisation, &[Person]); 2] =
    [(LABORATORY, &[CONTROLLER, OPERATOR]), (VENDOR, &[ENGINEER, APPROVER, RECIPIENT])];
