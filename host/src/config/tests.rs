//! What stops the start, and what goes before what.

use super::*;

fn load(flags: Flags, variables: &[(&str, &str)]) -> Result<(Config, Vec<String>), ConfigError> {
    Config::load(&flags, variables.iter().map(|(name, value)| (name.to_string(), value.to_string())))
}

#[track_caller]
fn check_refused(flags: Flags, variables: &[(&str, &str)], part: &str) {
    let message = load(flags, variables).expect_err("it must be refused").to_string();
    assert!(message.contains(part), "{message}");
}

#[test]
fn the_command_line_goes_before_the_environment_before_the_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "slots = 3\nqueue_max = 5\ndata = \"from-file\"\n").unwrap();
    let flags = Flags { config: Some(file.path().to_owned()), data: Some("from-flag".into()), ..Flags::default() };
    let (config, _) = load(flags, &[("SESSILE_QUEUE_MAX", "7"), ("SESSILE_DATA", "from-env")]).unwrap();
    assert_eq!((config.slots, config.queue_max), (3, 7));
    assert_eq!(config.data, PathBuf::from("from-flag"));
}

#[test]
fn a_wrong_setting_stops_the_start_with_its_name() {
    check_refused(Flags::default(), &[("SESSILE_SLOTS", "many")], "`SESSILE_SLOTS`");
    check_refused(Flags::default(), &[("SESSILE_REQUIRE_CONFINEMENT", "maybe")], "neither true nor false");
    check_refused(Flags::default(), &[("SESSILE_SLOTS", "0")], "`slots` is 0");
    check_refused(Flags::default(), &[("SESSILE_COMPILE_WALL_S_MAX", "0")], "`compile_wall_s_max` is 0");
    check_refused(Flags::default(), &[("SESSILE_SWEEP_INTERVAL_MS", "5001")], "from 10 to 5000");
    check_refused(Flags::default(), &[("SESSILE_UNKNOWN_SESSIONS", "maybe")], "`SESSILE_UNKNOWN_SESSIONS`");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "slotz = 3\n").unwrap();
    let flags = Flags { config: Some(file.path().to_owned()), ..Flags::default() };
    check_refused(flags, &[], "slotz");
}

#[test]
fn r34_the_quota_is_a_table_and_variables_and_a_wrong_number_stops_the_start_with_its_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[quota]\nsessions = 3\nweight = 5\n").unwrap();
    let flags = Flags { config: Some(file.path().to_owned()), ..Flags::default() };
    let variables = [("SESSILE_QUOTA_WEIGHT", "7"), ("SESSILE_SLOTS", "9")];
    let (config, _) = load(flags.clone(), &variables).unwrap();
    assert_eq!((config.quota.sessions, config.quota.weight, config.quota.running_jobs), (3, 7, 9));
    check_refused(flags.clone(), &[("SESSILE_QUOTA_WEIGHT", "0")], "`SESSILE_QUOTA_WEIGHT`");
    check_refused(flags.clone(), &[("SESSILE_QUOTA_WEIGHT", "many")], "is many");
    let (_, unknown) = load(flags.clone(), &[("SESSILE_QUOTA_WIGHT", "1")]).unwrap();
    assert_eq!(unknown, ["SESSILE_QUOTA_WIGHT"]);
    std::fs::write(file.path(), "[quota]\nwall_ms = 3600001\n").unwrap();
    check_refused(flags.clone(), &[], "from 1 to 3600000");
    std::fs::write(file.path(), "[quota]\nwight = 1\n").unwrap();
    check_refused(flags, &[], "`wight`");
}

#[test]
fn the_page_of_numbers_is_for_root_unless_it_is_opened_or_for_trying_out() {
    let metrics = |dev, variables: &[_]| load(Flags { dev, ..Flags::default() }, variables).unwrap().0.metrics;
    assert_eq!((metrics(false, &[]), metrics(true, &[])), (Readers::Root, Readers::Anybody));
    assert_eq!(metrics(false, &[("SESSILE_METRICS", "anybody")]), Readers::Anybody);
    assert_eq!(metrics(true, &[("SESSILE_METRICS", "root")]), Readers::Root);
    check_refused(Flags::default(), &[("SESSILE_METRICS", "all")], "`SESSILE_METRICS`");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "metrics = \"anybody\"\n").unwrap();
    let flags = Flags { config: Some(file.path().to_owned()), ..Flags::default() };
    assert_eq!(load(flags.clone(), &[]).unwrap().0.metrics, Readers::Anybody);
    assert_eq!(load(flags, &[("SESSILE_METRICS", "root")]).unwrap().0.metrics, Readers::Root);
}

#[test]
fn a_variable_of_another_version_is_named_and_ignored() {
    let (_, unknown) = load(Flags::default(), &[("SESSILE_FUTURE", "1"), ("HOME", "/")]).unwrap();
    assert_eq!(unknown, ["SESSILE_FUTURE"]);
}

#[test]
fn dev_listens_on_loopback_only() {
    let flags = |listen: &str| Flags { dev: true, listen: Some(listen.parse().unwrap()), ..Flags::default() };
    check_refused(flags("0.0.0.0:0"), &[], "0.0.0.0:0 is none");
    assert!(load(flags("[::1]:0"), &[]).is_ok());
}
