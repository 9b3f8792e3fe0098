//! Each transform of a scope, from MariaDB to PostgreSQL, compared by other means: S, F and T are all taken behind the
//! transforms and agree on a wrong one. What each column means is said here in the old system's own SQL.

use drill::World;
use futures::FutureExt;
use scope::{Dialect, Scope};

use super::compare::{self, Meant};
use super::databases;

/// Decimals without a fraction, local times in winter and in summer, a number that stands for none, blanks on both sides,
/// and letters of Windows-1252 as bytes.
const OLD: &str = "CREATE TABLE visit (visit_id INT PRIMARY KEY, weight DECIMAL(8,2), seen DATETIME, ward VARCHAR(8), \
     room VARCHAR(12), label VARBINARY(20)); \
     INSERT INTO visit SELECT seq, seq * 3, \
     IF(seq % 2 = 0, '2024-01-15 08:30:00', '2024-07-15 08:30:00') + INTERVAL seq MINUTE, \
     IF(seq % 10 = 0, '9999', CONCAT('W', seq)), CONCAT('  R', seq), CONCAT('c', UNHEX('9C'), 'ur ', UNHEX('80'), seq) \
     FROM seq_1_to_200";

const SCOPE: &str = "
[[table]]
name = 'visit'
target = 'visit'
key = ['visit_id']
leave = []
take = [
  { column = 'visit_id', type = 'int64' },
  { column = 'weight', type = 'int64', from = 'decimal(8,2)' },
  { column = 'seen', type = 'timestamp with time zone', from = 'timestamp', zone = 'Europe/Paris' },
  { column = 'ward', type = 'text', null_if = ['9999'] },
  { column = 'room', type = 'text', trim = 'both' },
  { column = 'label', type = 'text', charset = 'cp1252' },
]
";

/// What the laboratory means by its columns. In the two months that occur Paris is one hour ahead, or two.
const MEANT: [Meant<'static>; 5] = [
    ("visit", "weight", "CAST(CAST(weight AS SIGNED) AS CHAR)"),
    ("visit", "seen", "DATE_FORMAT(seen - INTERVAL IF(MONTH(seen) = 1, 1, 2) HOUR, '%Y-%m-%d %H:%i:%s.%f')"),
    ("visit", "ward", "CONVERT(IF(ward = '9999', NULL, ward) USING utf8mb4)"),
    ("visit", "room", "CONVERT(LTRIM(RTRIM(room)) USING utf8mb4)"),
    ("visit", "label", "CONVERT(CONVERT(label USING latin1) USING utf8mb4)"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_transform_does_what_is_meant_by_the_comparison_by_other_means() {
    databases::with("every_transform_does_what_is_meant_by_the_comparison_by_other_means", |databases| {
        async move {
            databases.on_mariadb(OLD).await;
            let scope = Scope::parse(SCOPE).unwrap();
            databases.on_postgres(&scope::target_ddl(&scope, Dialect::Postgres).unwrap()).await;
            let world = World::start().await;
            world.plant_in("visit", "label", (1..=200).map(|number| format!("cœur €{number}")));
            let source = connectors::connect_source(&databases.mariadb, None).unwrap();
            let sink = connectors::connect_sink(&databases.postgres, None).unwrap();
            let plan = world.approved(SCOPE, source.as_ref(), sink.as_ref()).await;
            let consignment = world.consign(&plan).await;
            let manifest = world.extract(&plan, consignment, source.as_ref()).await.unwrap();
            world.release(&plan, consignment).await.unwrap();
            let report = world.load(&plan, consignment, sink.as_ref()).await.unwrap();

            assert!(report.reconciliation.equal());
            // Each of them had something to do.
            let done = |what: &str| manifest.tables[0].transforms.get(what).copied();
            let counts = ["weight: cast", "seen: cast", "ward: null_if", "room: trim", "label: charset"].map(done);
            assert_eq!(counts, [Some(200), Some(200), Some(20), Some(200), Some(200)]);
            let compared = compare::every_table(databases, &MEANT).await;
            assert_eq!((compared.tables, compared.rows, compared.values), (1, 200, 1_200));
            assert_eq!(compared.differences, Vec::<String>::new());
        }
        .boxed_local()
    })
    .await;
}
