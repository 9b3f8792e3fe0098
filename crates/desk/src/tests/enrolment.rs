//! From an invitation to a certificate, and every way in which that must not go.

use people::{Passphrase, PayloadType};

use super::*;
use crate::enrol::{self, Invitation};
use crate::organisation::{Organisation, root_of};

fn person(name: &str) -> Person {
    Person { id: PersonId([9; 16]), name: name.into() }
}

struct Office {
    folder: TempDir,
    organisation: Organisation,
    passphrase: Passphrase,
    card: ServerCard,
}

impl Office {
    fn new() -> Self {
        let (folder, passphrase) = (tempfile::tempdir().unwrap(), Passphrase::new("correct horse"));
        let path = folder.path().join("organisation");
        let organisation =
            Organisation::create(&path, "Laboratoire des Abers", &passphrase, &SystemEntropy::new()).unwrap();
        Self { folder, organisation, passphrase, card: World::new().card }
    }

    fn invite(&self, name: &str) -> Result<Envelope> {
        self.invite_by(&self.organisation, person(name))
    }

    fn invite_by(&self, organisation: &Organisation, person: Person) -> Result<Envelope> {
        let roles = BTreeSet::from([Role::Controller]);
        let expires = hours_after(start(), 24);
        organisation.invite(person, roles, self.card.clone(), expires, start(), &SystemEntropy::new())
    }

    fn home(&self, name: &str) -> Home {
        Home::create(&self.folder.path().join(name)).unwrap()
    }

    fn answer(&self, home: &Home, invitation: &Envelope) -> Result<Envelope> {
        enrol::answer(home, invitation, "laptop", &self.passphrase, &SystemEntropy::new(), start())
    }
}

#[test]
fn an_invited_person_comes_to_a_device_that_signs() {
    let office = Office::new();
    let invitation = office.invite("Claire Le Goff").unwrap();
    assert_eq!(Invitation::open(&invitation).unwrap().root, *office.organisation.root());
    let home = office.home("claire");
    let request = office.answer(&home, &invitation).unwrap();
    let certificate = office.organisation.certify(&request, &invitation, start()).unwrap();
    assert_eq!(office.organisation.certify(&request, &invitation, hours_after(start(), 1)).unwrap(), certificate);
    let granted = enrol::accept(&home, &certificate, start()).unwrap();
    assert_eq!(granted.person.name, "Claire Le Goff");
    assert!(granted.from < start() && granted.until > hours_after(start(), 24 * 360));
    let holder = KeyHolder::unlock(&home, &office.passphrase).unwrap();
    let statement = holder.sign_statement(&serde_json::json!({"seen": true})).unwrap();
    statement.verified(PayloadType::Statement, &granted.device.key).unwrap();
    assert_eq!(outcome(KeyHolder::unlock(&home, &Passphrase::new("wrong"))), (131, false));
    assert_eq!(home.card().unwrap(), office.card);
    assert_eq!(home.trusted().unwrap(), [office.organisation.root().clone()]);
    let certified = crate::organisation::certified_in(&office.folder.path().join("organisation")).unwrap();
    assert_eq!(certified, [(certificate.digest().unwrap(), granted)]);
}

#[test]
fn functions_and_teams_are_not_even_invited() {
    let office = Office::new();
    for name in ["labo", "Equipe Support", "Claire"] {
        assert_eq!(outcome(office.invite(name)), (1240, false), "{name}");
    }
}

#[test]
fn one_invitation_is_good_for_one_device() {
    let office = Office::new();
    let invitation = office.invite("Claire Le Goff").unwrap();
    let first = office.answer(&office.home("one"), &invitation).unwrap();
    let second = office.answer(&office.home("two"), &invitation).unwrap();
    office.organisation.certify(&first, &invitation, start()).unwrap();
    assert_eq!(outcome(office.organisation.certify(&second, &invitation, start())), (1252, false));
}

#[test]
fn a_second_device_by_name_is_refused_and_by_person_is_the_same_persons() {
    let office = Office::new();
    let stranger = |name: &str| Person { id: PersonId([8; 16]), name: name.into() };
    let invitation = office.invite("Claire Le Goff").unwrap();
    let refused = office.invite_by(&office.organisation, stranger("claire LE GOFF"));
    let remedy = format!("--person {}", PersonId([9; 16]));
    assert!(refused.as_ref().err().unwrap().to_string().contains(&PersonId([9; 16]).to_string()));
    assert!(matches!(&refused, Err(Trouble::Refusal(refusal)) if refusal.remedy.contains(&remedy)));
    assert_eq!(outcome(refused), (1253, false), "an invitation is enough");
    office.invite_by(&office.organisation, stranger("Claire Anne Le Goff")).unwrap();

    // A copy of the root without these invitations: it may invite her as somebody else, who is not certified.
    let elsewhere = office.folder.path().join("copy");
    let paper = office.organisation.paper();
    let copy = Organisation::restore(&elsewhere, "Laboratoire des Abers", &paper, &office.passphrase).unwrap();
    let other = office.invite_by(&copy, stranger("Claire Le Goff")).unwrap();
    let asked = office.answer(&office.home("other"), &other).unwrap();
    let request = office.answer(&office.home("one"), &invitation).unwrap();
    let first = office.organisation.certify(&request, &invitation, start()).unwrap();
    assert_eq!(outcome(office.organisation.certify(&asked, &other, start())), (1253, false));
    assert_eq!(office.organisation.certify(&request, &invitation, start()).unwrap(), first);

    let again = office.invite("Claire Le Goff").unwrap();
    let request = office.answer(&office.home("two"), &again).unwrap();
    let second = office.organisation.certify(&request, &again, start()).unwrap();
    let mut roster = Roster::default();
    roster.trust(office.organisation.root().clone());
    let persons = [first, second].map(|envelope| {
        let digest = roster.admit(&envelope).unwrap();
        roster.certificate(&digest).unwrap().person.id
    });
    assert_eq!(persons, [PersonId([9; 16]); 2], "two devices, one person");
}

#[test]
fn an_invitation_ends_and_stands_for_two_weeks_at_most() {
    let office = Office::new();
    let invitation = office.invite("Claire Le Goff").unwrap();
    let request = office.answer(&office.home("claire"), &invitation).unwrap();
    let late = hours_after(start(), 24);
    assert_eq!(outcome(office.organisation.certify(&request, &invitation, late)), (1241, false));
    let (roles, long) = (BTreeSet::from([Role::Auditor]), hours_after(start(), 24 * 15));
    let organisation = &office.organisation;
    let too_long =
        organisation.invite(person("Maud Riou"), roles, office.card.clone(), long, start(), &SystemEntropy::new());
    assert_eq!(outcome(too_long), (1241, false));
}

#[test]
fn a_request_or_a_certificate_of_another_enrolment_is_refused() {
    let office = Office::new();
    let (one, two) = (office.invite("Claire Le Goff").unwrap(), office.invite("Maud Riou").unwrap());
    let (claire, maud) = (office.home("claire"), office.home("maud"));
    let (first, second) = (office.answer(&claire, &one).unwrap(), office.answer(&maud, &two).unwrap());
    assert_eq!(outcome(office.organisation.certify(&second, &one, start())), (1242, false));
    assert_eq!(outcome(office.answer(&claire, &two)), (1243, false), "one folder, one person");
    office.organisation.certify(&first, &one, start()).unwrap();
    let theirs = office.organisation.certify(&second, &two, start()).unwrap();
    assert_eq!(outcome(enrol::accept(&claire, &theirs, start())), (1244, false));
    let stranger = House::new("Somebody");
    let forged = stranger.certify("Claire Le Goff", Role::Controller, &stranger.key);
    assert!(outcome(enrol::accept(&claire, &forged, start())).1);
}

#[test]
fn a_changed_invitation_is_an_alarm_and_one_under_another_root_is_not_certified() {
    let office = Office::new();
    let invitation = office.invite("Claire Le Goff").unwrap();
    let said = Invitation::open(&invitation).unwrap();
    let more = Invitation { roles: BTreeSet::from([Role::Approver]), ..said.clone() };
    let changed = Envelope { payload: STANDARD.encode(canonical(&more).unwrap()), ..invitation.clone() };
    assert_eq!(outcome(Invitation::open(&changed)), (112, true));
    let stranger = House::new("Somebody");
    let theirs = Invitation { root: stranger.root.clone(), ..said }.sign(&stranger.key).unwrap();
    let request = office.answer(&office.home("claire"), &theirs).unwrap();
    assert_eq!(outcome(office.organisation.certify(&request, &theirs, start())), (1242, false));
}

#[test]
fn a_root_comes_back_from_its_paper_and_a_slip_is_named_by_its_line() {
    let office = Office::new();
    let paper = office.organisation.paper();
    let elsewhere = office.folder.path().join("restored");
    Organisation::restore(&elsewhere, "Laboratoire des Abers", &paper, &office.passphrase).unwrap();
    assert_eq!(root_of(&elsewhere).unwrap(), *office.organisation.root());
    Organisation::open(&elsewhere, &office.passphrase).unwrap();
    let again = Organisation::restore(&elsewhere, "Laboratoire des Abers", &paper, &office.passphrase);
    assert_eq!(outcome(again), (1250, false), "nothing is overwritten");
    for line in paper.lines().skip(2) {
        let (number, signs) = line.split_once(": ").unwrap();
        let other = if signs.starts_with('0') { "1" } else { "0" };
        let slip = paper.replace(line, &format!("{number}: {other}{}", &signs[1..]));
        let refused = Organisation::restore(&office.folder.path().join("slip"), "L", &slip, &office.passphrase);
        assert!(refused.as_ref().err().unwrap().to_string().contains(&format!("line {number}")), "{slip}");
        assert_eq!(outcome(refused), (1251, false));
    }
    let swapped = paper.replace("1:", "x:").replace("2:", "1:").replace("x:", "2:");
    let refused = Organisation::restore(&office.folder.path().join("swap"), "L", &swapped, &office.passphrase);
    assert_eq!(outcome(refused), (1251, false));
}

#[test]
fn an_organisation_takes_back_what_it_certified() {
    let office = Office::new();
    let invitation = office.invite("Claire Le Goff").unwrap();
    let home = office.home("claire");
    let request = office.answer(&home, &invitation).unwrap();
    let certificate = office.organisation.certify(&request, &invitation, start()).unwrap();
    let taken_back = office.organisation.revoke(certificate.digest().unwrap(), start(), start()).unwrap();
    let mut roster = Roster::default();
    roster.trust(office.organisation.root().clone());
    let digest = roster.admit(&certificate).unwrap();
    roster.revoke(&taken_back).unwrap();
    assert!(roster.is_revoked(&digest));
}
