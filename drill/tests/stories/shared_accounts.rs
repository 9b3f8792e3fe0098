//! Finding 7 of the decision: accounts were shared by several employees. Here there is no account that is not one
//! certified person: one key is one person's, a person has a name, and a key that is lent stays its owner's.

use std::collections::BTreeSet;
use std::sync::Arc;

use desk::KeyHolder;
use drill::{Name, Party, World, entropy};
use lexicon::{Clock, Code, Digest, PersonId, Refusal, Result, Serial, Trouble, hours_after};
use people::{Certificate, Device, Envelope, PayloadType, Person, PublicKey, Role, Root, Roster, SigningKey};
use registry::{Recording, Registry};
use wire::{Client, Leaf};

/// An organisation whose root signs whatever it is shown.
struct Careless {
    key: SigningKey,
    root: Root,
}

impl Careless {
    fn new() -> Self {
        let key = SigningKey::draw(entropy().as_ref()).unwrap();
        let root = Root { organisation: "Sans Souci".to_owned(), key: key.public() };
        Self { key, root }
    }

    fn certificate(&self, name: &str, key: PublicKey, world: &World) -> Certificate {
        let person = Person { id: PersonId::draw(entropy().as_ref()).unwrap(), name: name.to_owned() };
        let device = Device { name: "shared desk".to_owned(), key };
        let now = world.clock.now();
        let (serial, root, roles) =
            (Serial(person.id.0[..8].try_into().unwrap()), self.root.id(), BTreeSet::from([Role::Operator]));
        Certificate { serial, root, person, device, roles, from: now, until: hours_after(now, 24) }
    }

    /// Signed without a look at it.
    fn sign(&self, certificate: &Certificate) -> Envelope {
        Envelope::sign(PayloadType::Certificate, certificate, self.root.id(), &self.key).unwrap()
    }
}

async fn present(world: &World, key: &SigningKey, certificate: &Envelope) -> Result<()> {
    let clock: Arc<dyn Clock> = world.clock.clone();
    let client = Client::new(world.card.clone(), clock, entropy()).unwrap();
    let seed = zeroize::Zeroizing::new(*key.seed());
    let keeper = KeyHolder::new(SigningKey::from_seed(seed).unwrap(), certificate.digest().unwrap());
    client.present(&keeper, certificate).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_on_two_persons_is_refused_by_server_registry_and_agents() {
    let world = World::start().await;
    world.sealed_beside().await;
    let careless = Careless::new();
    world.office().admit_root(&careless.root).await.unwrap();
    let key = SigningKey::draw(entropy().as_ref()).unwrap();
    let first = careless.certificate("Anne Morin", key.public(), &world);
    let second = careless.certificate("Luc Gauthier", key.public(), &world);
    let renewed =
        Certificate { person: first.person.clone(), ..careless.certificate("Anne Morin", key.public(), &world) };
    let [one, two, again] = [&first, &second, &renewed].map(|certificate| careless.sign(certificate));

    present(&world, &key, &one).await.unwrap();
    let by_the_server = present(&world, &key, &two).await.unwrap_err();
    present(&world, &key, &again).await.unwrap();
    let mut roster = Roster::default();
    roster.trust(careless.root.clone());
    roster.admit(&one).unwrap();
    let by_an_agent = roster.admit(&two).unwrap_err();
    roster.admit(&again).unwrap();

    assert_eq!((by_the_server.code(), by_an_agent.code()), (Code(123), Code(123)));
    assert!(!by_the_server.to_string().contains(&key.public().to_string()));
    // And beneath the rule, where somebody writes rows without asking it.
    let registry = Registry::open(&world.path("rows.sqlite")).unwrap();
    let nonce = Digest::of(b"nonce");
    registry.record(&Leaf::Root { nonce, root: careless.root.clone() }, &Recording::Root(&careless.root)).unwrap();
    let row = |certificate: &Certificate, envelope: &Envelope| {
        let leaf = Leaf::Certificate { nonce, certificate: envelope.clone() };
        registry.record(&leaf, &Recording::Certificate(envelope.digest().unwrap(), certificate, envelope))
    };
    row(&first, &one).unwrap();
    assert_eq!(row(&second, &two).unwrap_err().code(), Code(752));
    row(&renewed, &again).unwrap();
    assert_eq!(registry.certificates().unwrap(), [one, again]);
    assert_eq!(registry.tree().unwrap().size(), 3, "a refused certificate left a leaf");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_name_under_two_ids_is_refused_by_the_server() {
    let world = World::start().await;
    world.sealed_beside().await;
    let careless = Careless::new();
    world.office().admit_root(&careless.root).await.unwrap();
    let [one, two] = [(); 2].map(|()| SigningKey::draw(entropy().as_ref()).unwrap());
    let first = careless.certificate("Zoé Morin", one.public(), &world);
    let twice = careless.certificate("MORIN Zoe", two.public(), &world);
    let further = Certificate { person: first.person.clone(), ..twice.clone() };

    present(&world, &one, &careless.sign(&first)).await.unwrap();
    let refused = present(&world, &two, &careless.sign(&twice)).await.unwrap_err();
    present(&world, &two, &careless.sign(&further)).await.unwrap();

    assert_eq!(refused.code(), Code(129));
    assert!(refused.to_string().contains(&first.person.id.to_string()), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_a_function_or_a_team_gets_no_certificate_and_no_entry() {
    let world = World::start().await;
    world.sealed_beside().await;
    let careless = Careless::new();
    world.office().admit_root(&careless.root).await.unwrap();

    for name in ["labo", "Support Biolog", "admin admin", "Claire", "Equipe Migration", "Test Test", "Poste 3", ""] {
        let key = SigningKey::draw(entropy().as_ref()).unwrap();
        let certificate = careless.certificate(name, key.public(), &world);
        let (now, until) = (world.clock.now(), hours_after(world.clock.now(), 24));
        let roles = BTreeSet::from([Role::Operator]);
        let laboratory = world.organisation(Party::Laboratory);
        let person = certificate.person.clone();
        let invited = laboratory.invite(person, roles, world.card.clone(), until, now, entropy().as_ref());
        let signed = certificate.sign(&careless.key);
        let presented = present(&world, &key, &careless.sign(&certificate)).await;

        assert_eq!(invited.unwrap_err().code(), Code(1240), "{name}");
        assert_eq!(signed.unwrap_err().code(), Code(120), "{name}");
        assert_eq!(presented.unwrap_err().code(), Code(120), "{name}");
    }

    let certified = Registry::open(&world.server_folder().join("registry.sqlite")).unwrap().certificates().unwrap();
    assert_eq!(certified.len(), Name::ALL.len(), "somebody without a name stands among the certified");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_lent_speaks_for_its_owner_only() {
    let world = World::start().await;
    world.sealed_beside().await;
    let [owner, borrower] = [world.home(Name::Approver), world.home(Name::Recipient)];

    // The borrower takes the owner's key file into their own folder, under their own certificate.
    std::fs::copy(owner.join("device.key"), borrower.join("device.key")).unwrap();
    let home = desk::Home::open(&borrower).unwrap();
    let unlocked = KeyHolder::unlock(&home, &drill::passphrase());
    let own = home.certificate().unwrap().2;
    let lent = KeyHolder::unlock(&desk::Home::open(&owner).unwrap(), &drill::passphrase()).unwrap();
    let clock: Arc<dyn Clock> = world.clock.clone();
    let client = Client::new(world.card.clone(), clock, entropy()).unwrap();
    let presented = client.present(&lent, &own).await.unwrap_err();

    let refused = unlocked.err().unwrap();
    assert!(matches!(&refused, Trouble::Refusal(Refusal { code: Code(1230), .. })), "{refused}");
    assert!(matches!(&presented, Trouble::Alarm(alarm) if alarm.code == Code(805)), "{presented}");
    // The control: under its owner's name the key is good, and the journal will name the owner.
    client.present(&lent, &desk::Home::open(&owner).unwrap().certificate().unwrap().2).await.unwrap();
}
