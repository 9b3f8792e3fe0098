//! Persons who lie under their true names: the server is the true one, and every signature holds.

use drill::{Name, Systems, World, entropy};
use lexicon::{Clock, Digest, canonical};
use procedure::{Act, Migration, Plan};
use scope::{Report, Scope};
use seal::Share;

use super::{patients, said, withheld};

/// Who signs a report, and what they did to it.
type Lie = (Name, fn(&mut Report));

/// A plan that nobody looked at and two approved: its scope report was bent like this, and signed by this person.
async fn approved_over(world: &World, systems: &Systems, (by, bend): Lie) -> Plan {
    let (scope, id) = (synth::scope_toml(), world.open().await);
    let (plan, _) = world.plan(id, &scope, systems.source.as_ref(), systems.sink.as_ref()).await;
    let parsed = Scope::parse(&scope).unwrap();
    let mut report = drill::scope_report(systems.source.as_ref(), &parsed, world.clock.now()).await;
    bend(&mut report);
    let report = canonical(&world.desk(by).state(&report).unwrap()).unwrap();
    let plan = Plan { report: Digest::of(&report), ..plan };
    world.propose(&plan, &[scope.into_bytes(), report]).await.unwrap();
    world.approve(&plan).await;
    plan
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_report_by_the_vendor_or_of_something_else_steers_no_agent() {
    let world = World::start().await;
    let systems = world.systems(60);
    let vendors = "the scope report is not signed by a person of the laboratory [LZ-0616]";
    let others = "the scope report is of another scope, source or schema than the plan's [LZ-0602]";
    let lies: [(Lie, &str); 5] = [
        ((Name::Engineer, |_| {}), vendors),
        ((Name::Recipient, |_| {}), vendors),
        ((Name::Operator, |report| report.source.push_str("-of-last-year")), others),
        ((Name::Operator, |report| report.schema = Digest::of(b"another schema")), others),
        ((Name::Operator, |report| report.scope = Digest::of(b"another scope")), others),
    ];
    for (lie, sentence) in lies {
        let plan = approved_over(&world, &systems, lie).await;
        let (id, consignment) = (plan.migration, world.consign(&plan).await);
        let desk = world.desk(Name::Controller);
        let ledger = desk.follow(id).await.unwrap();
        // Who is about to approve, to type the digest, to release; and the two machines.
        assert_eq!(said(passage::check_papers(&desk, id, &ledger).await), sentence);
        assert_eq!(said(passage::preview(&desk, id, Some(consignment)).await), sentence);
        assert_eq!(said(passage::check_manifest(&desk, id, &ledger, consignment).await), sentence);
        assert_eq!(said(world.extract(&plan, consignment, systems.source.as_ref()).await), sentence);
        assert_eq!(said(world.load(&plan, consignment, systems.sink.as_ref()).await), sentence);
        let ledger = desk.follow(id).await.unwrap();
        assert!(ledger.migration().consignment(consignment).unwrap().attempts.is_empty(), "something was begun");
    }
    // The control: signed by the laboratory, of what the plan names, it is the report that all go by.
    let plan = approved_over(&world, &systems, (Name::Controller, |_| {})).await;
    let consignment = world.consign(&plan).await;
    world.extract(&plan, consignment, systems.source.as_ref()).await.unwrap();
    world.release(&plan, consignment).await.unwrap();
    world.load(&plan, consignment, systems.sink.as_ref()).await.unwrap();
    assert!(patients(&systems) > 0);
}

/// It opens no parcel of the manifest: the recipient would find out late, and with the strongroom share in its hands.
#[tokio::test(flavor = "multi_thread")]
async fn a_handed_over_share_that_is_not_the_manifests_begins_no_load() {
    let world = World::start().await;
    let systems = world.systems(60);
    let round = world.closed(&systems).await;
    let (id, consignment) = (round.plan.migration, round.consignment);
    withheld::release(&world, &round, 20).await;
    let operator = world.desk(Name::Operator);
    let ledger = operator.follow(id).await.unwrap();
    let offers = &ledger.migration().consignment(consignment).unwrap().offers;
    let keys: Vec<_> = offers.iter().map(|offer| offer.key.clone()).collect();
    let other = people::seal_to(&keys, Share::draw(entropy().as_ref()).unwrap().expose()).unwrap();
    let share = Digest::of(&other);
    let mut build = |_: &Migration| Ok(Act::HandOver { consignment, share, clear_swap: false });
    operator.act(id, &mut build, &[other]).await.unwrap();

    let sentence = "ALARM: the share that was handed over is not the one that the manifest names [LZ-0633]";
    assert_eq!(said(world.load(&round.plan, consignment, systems.sink.as_ref()).await), sentence);
    let ledger = world.desk(Name::Recipient).follow(id).await.unwrap();
    let attempts = &ledger.migration().consignment(consignment).unwrap().attempts;
    assert_eq!((attempts.len(), patients(&systems)), (1, 0), "a load was begun");
}
