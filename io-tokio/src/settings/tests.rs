use super::*;
use crate::DiscoveryOptions;
use softadastra_core::sync::{self, ClockPolicy};
use softadastra_core::transport::endpoint;

fn layers(env: &[(&str, &str)], flags: &[(&'static str, &str, &str)]) -> Layers {
    Layers {
        config: None,
        env: env.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        flags: flags.iter().map(|(flag, key, value)| (*flag, (*key).to_owned(), value.into())).collect(),
    }
}

fn with_file(text: &str, env: &[(&str, &str)], flags: &[(&'static str, &str, &str)]) -> Result<Settings, Error> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.toml");
    fs::write(&path, text).unwrap();
    Layers { config: Some(path), ..layers(env, flags) }.resolve()
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_the_defaults() {
    let file = "durability = \"1s\"\nmax_value_len = 10\nmax_pending_bytes = \"2MiB\"\njson = true\n";
    let env = [("SOFTADASTRA_DURABILITY", "2s"), ("SOFTADASTRA_MAX_VALUE_LEN", "20"), ("OTHER", "x")];
    let settings = with_file(file, &env, &[("--set", "durability", "3s")]).unwrap();
    assert_eq!(settings.durability, Durability::Interval(Duration::from_secs(3)));
    assert_eq!(settings.max_value_len, Some(20));
    assert_eq!(settings.max_pending_bytes, Some(2 << 20));
    assert!(settings.json);
    assert_eq!(settings.lock_wait, None);
    assert_eq!(settings.timeout, Duration::from_secs(60));
    assert_eq!(settings.source("durability"), Source::Flag("--set"));
    assert_eq!(settings.source("max_value_len"), Source::Env("SOFTADASTRA_MAX_VALUE_LEN".into()));
    assert!(matches!(settings.source("max_pending_bytes"), Source::File(path) if path.ends_with("node.toml")));
    assert_eq!(settings.source("lock_wait"), Source::Default);
}

#[test]
fn unknown_keys_are_refused_by_name_wherever_they_stand() {
    let error = with_file("durability = \"always\"\nautoflush = true\n", &[], &[]).unwrap_err();
    assert!(error.what().contains("\"autoflush\"") && error.what().contains("node.toml"), "{error}");
    let error = layers(&[("SOFTADASTRA_AUTO_FLUSH", "1")], &[]).resolve().unwrap_err();
    assert!(error.what().contains("\"SOFTADASTRA_AUTO_FLUSH\""), "{error}");
    let error = layers(&[("SOFTADASTRA_durability", "always")], &[]).resolve().unwrap_err();
    assert!(error.what().contains("\"SOFTADASTRA_durability\""), "{error}");
    let error = layers(&[], &[("--set", "fsync", "no")]).resolve().unwrap_err();
    assert!(error.what().contains("\"fsync\"") && error.what().contains("--set"), "{error}");
    let error = with_file("[durability]\nmode = 1\n", &[], &[]).unwrap_err();
    assert!(error.what().contains("setting durability") && error.what().contains("table"), "{error}");
}

#[test]
fn a_name_that_is_nearly_right_is_told_what_it_is_near_to() {
    for (name, near) in [("listne", "listen"), ("requiredacks", "required_acks"), ("max_retrys", "max_retries")] {
        let error = with_file(&format!("{name} = 1\n"), &[], &[]).unwrap_err();
        assert!(error.what().ends_with(&format!("did you mean {near}?")), "{error}");
    }
    let error = layers(&[("SOFTADASTRA_HTPP", "x")], &[]).resolve().unwrap_err();
    assert!(error.what().ends_with("did you mean SOFTADASTRA_HTTP?"), "{error}");
    let error = with_file("autoflush = true\n", &[], &[]).unwrap_err();
    assert!(error.what().contains("known are data_dir, "), "{error}");
}

#[test]
fn values_of_the_wrong_kind_are_refused_with_key_and_place() {
    let cases = [
        ("durability", "never", "neither \"always\" nor a duration"),
        ("max_value_len", "1 MB!", "is not a size"),
        ("max_value_len", "-1", "is not a size"),
        ("node_id", "a b", "node id"),
        ("log_format", "xml", "is not one of human, json"),
        ("color", "red", "is not one of auto, always, never"),
        ("json", "yes", "is not one of true, false"),
        ("listen", "0.0.0.0:4444, localhost", "\"localhost\" is not HOST:PORT"),
        ("listen", "h:99999", "is not HOST:PORT"),
        ("peers", "a:1,b:", "an address is HOST:PORT"),
        ("trust", "all", "is not one of network, pinned, open"),
        ("required_acks", "two", "is not a whole number"),
        ("ack_timeout", "5", "is not a duration"),
        ("conflict_policy", "mine", "is not one of last_write_wins, keep_local, apply_remote, keep_both"),
        ("clock_policy", "ignore", "is not one of warn, refuse"),
        ("auto_tick", "no", "is not one of true, false"),
        ("data_dir", "", "it is empty"),
    ];
    for (key, value, reason) in cases {
        let error = layers(&[], &[("--set", key, value)]).resolve().unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.what().contains(&format!("setting {key} from the flag --set")), "{error}");
        assert!(error.what().contains(reason), "{error}");
    }
    let error = with_file("durability = \"1s\"\ndurability =\n", &[], &[]).unwrap_err();
    assert!(error.what().contains("node.toml line 2 is not TOML"), "{error}");
}

#[test]
fn the_data_directory_brings_its_own_file_which_cannot_move_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    fs::write(dir.path().join(FILE_NAME), "node_id = \"till-3\"\n").unwrap();
    let settings = layers(&[("SOFTADASTRA_DATA_DIR", path)], &[]).resolve().unwrap();
    assert_eq!(settings.node_id.unwrap().as_str(), "till-3");
    assert_eq!(settings.data_dir, dir.path());

    fs::write(dir.path().join(FILE_NAME), "data_dir = \"/elsewhere\"\n").unwrap();
    let error = layers(&[], &[("--data-dir", "data_dir", path)]).resolve().unwrap_err();
    assert!(error.what().contains("cannot move it"), "{error}");
}

#[test]
fn a_named_file_may_choose_the_directory_and_must_exist() {
    let settings = with_file("data_dir = \"/srv/softadastra\"\n", &[], &[]).unwrap();
    assert_eq!(settings.data_dir, Path::new("/srv/softadastra"));
    let missing = Layers { config: Some("/no/such/file.toml".into()), ..Layers::default() };
    let error = missing.resolve().unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert!(error.what().contains("/no/such/file.toml"), "{error}");
}

#[test]
fn the_default_directory_follows_the_desktop_rules() {
    let dir = |env: &[(&str, &str)]| layers(env, &[]).resolve().unwrap().data_dir;
    assert_eq!(dir(&[("XDG_DATA_HOME", "/x"), ("HOME", "/h")]), Path::new("/x/softadastra"));
    assert_eq!(dir(&[("XDG_DATA_HOME", "relative"), ("HOME", "/h")]), Path::new("/h/.local/share/softadastra"));
    assert_eq!(dir(&[]), Path::new("softadastra-data"));
}

#[test]
fn service_links_of_kubernetes_are_not_settings() {
    let env = [("SOFTADASTRA_PORT", "tcp://10.0.0.1:80"), ("SOFTADASTRA_SERVICE_HOST", "10.0.0.1")];
    layers(&env, &[]).resolve().unwrap();
}

#[test]
fn sizes_and_durations() {
    assert_eq!(parse_size("0"), Some(0));
    assert_eq!(parse_size("64 KiB"), Some(65536));
    assert_eq!(parse_size("1MB"), Some(1_000_000));
    assert_eq!(parse_size("99999999999GiB"), None);
    assert_eq!(parse_size(""), None);
    assert_eq!(parse_size("MiB"), None);
    assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
    assert_eq!(parse_duration("2h"), Some(Duration::from_secs(7200)));
    assert_eq!(parse_duration("5"), None);
    assert_eq!(parse_duration("99999999999999999999s"), None);
    assert_eq!(parse_duration("3650d"), Some(Duration::from_secs(3650 * 86_400)));
    for too_long in ["3651d", "213503982334601d", "99999999999999999ms"] {
        assert_eq!(parse_duration(too_long), None);
    }
}

#[test]
fn links_and_sync_are_set_like_everything_else() {
    let file = "listen = [\"0.0.0.0:4444\", \"[::]:4444\"]\npeers = \"a:1, b:2\"\ntrust = \"pinned\"\ncompress = false\n\
                required_acks = 2\nack_timeout = \"5s\"\nmax_retries = 3\nconflict_policy = \"keep_both\"\n\
                clock_policy = \"refuse\"\nmax_clock_skew = \"1m\"\nmember_lease = \"7d\"\nauto_tick = false\n";
    let settings = with_file(file, &[], &[]).unwrap().network;
    let options = settings.transport_options();
    assert_eq!(options.listen, ["0.0.0.0:4444", "[::]:4444"]);
    assert_eq!(options.peers, ["a:1", "b:2"].map(|peer| peer.parse().unwrap()));
    assert!(!options.settings.link.compress && !options.insecure);
    assert_eq!(options.trust.unwrap().as_str(), "pinned");
    let sync = settings.sync_settings();
    assert_eq!((sync.required_acks, sync.max_retries, sync.auto_tick), (2, 3, false));
    assert_eq!((sync.ack_timeout, sync.max_clock_skew), (Duration::from_secs(5), Duration::from_secs(60)));
    assert_eq!(sync.member_lease, Duration::from_secs(7 * 86_400));
    assert_eq!((sync.conflict_policy.as_str(), sync.clock_policy), ("keep_both", ClockPolicy::Refuse));

    let defaults = layers(&[], &[]).resolve().unwrap().network;
    assert_eq!(format!("{:?}", defaults.sync_settings()), format!("{:?}", sync::Settings::default()));
    assert_eq!(defaults.transport_options().settings, endpoint::Settings::default());

    // A flag that is repeated adds up, and takes the place of what the file says.
    let flags = [("--listen", "listen", "c:3"), ("--listen", "listen", "d:4")];
    assert_eq!(with_file(file, &[], &flags).unwrap().network.listen, ["c:3", "d:4"]);
    assert_eq!(with_file(file, &[("SOFTADASTRA_LISTEN", "")], &[]).unwrap().network.listen, [""; 0]);
    let error = with_file("listen = [1]\n", &[], &[]).unwrap_err();
    assert!(error.what().contains("setting listen"), "{error}");
}

#[test]
fn a_mistyped_ticket_is_refused_without_being_shown() {
    let ticket = format!("sadticket{}", "a".repeat(100));
    let error = layers(&[("SOFTADASTRA_PEERS", &ticket)], &[]).resolve().unwrap_err();
    assert!(error.what().contains("setting peers") && !error.to_string().contains(&ticket[..30]), "{error}");
}

/// The commented file with every setting of it set.
fn everything_set() -> String {
    let is_setting = |line: &&str| line.starts_with('#') && !line.starts_with("# ") && !line.starts_with("##");
    let lines = commented_file();
    let set: Vec<&str> = lines.lines().filter(is_setting).map(|line| &line[1..]).collect();
    assert_eq!(set.len(), CATALOG.len());
    set.join("\n")
}

#[test]
fn the_commented_file_sets_nothing_and_can_set_everything() {
    let untouched = with_file(&commented_file(), &[], &[]).unwrap();
    assert!(CATALOG.iter().all(|setting| untouched.source(setting.name) == Source::Default));
    let all = with_file(&everything_set(), &[], &[]).unwrap();
    for setting in CATALOG {
        assert!(matches!(all.source(setting.name), Source::File(_)), "{}", setting.name);
    }
    assert_eq!(all.data_dir, Path::new("/var/lib/softadastra"));
    assert_eq!(all.network.listen, ["0.0.0.0:4444", "[::]:4444"]);
    for line in commented_file().lines() {
        assert!(line.len() <= 100, "{line}");
    }
}

#[test]
fn the_defaults_of_the_catalog_are_those_of_the_engine() {
    use softadastra_core::config::Config;
    let settings = with_file(&everything_set(), &[], &[]).unwrap();
    let sync = settings.network.sync_settings();
    assert_eq!(format!("{sync:?}"), format!("{:?}", sync::Settings::default()));
    assert_eq!(settings.network.transport_options().settings, endpoint::Settings::default());
    let Config { max_value_len, max_pending_bytes, log, .. } = Config::default();
    assert_eq!(settings.max_value_len, Some(max_value_len as u64));
    assert_eq!(settings.max_pending_bytes, Some(max_pending_bytes as u64));
    assert_eq!(settings.first_segment, Some(log.first_segment));
    assert_eq!(settings.max_segment, Some(log.max_segment));
    assert_eq!(settings.snapshot_after, Some(log.snapshot_min));
    let (set, discovery) = (settings.discovery.options(), DiscoveryOptions::default());
    assert_eq!((set.settings, set.targets, set.port), (discovery.settings, discovery.targets, discovery.port));
    let unset = Settings::default();
    assert_eq!((settings.discovery.mode, settings.discovery.auto_connect), (None, unset.discovery.auto_connect));
    assert_eq!((settings.durability, settings.color), (unset.durability, unset.color));
    assert_eq!((settings.json, settings.log_format), (unset.json, unset.log_format));
    assert_eq!(settings.network.insecure, unset.network.insecure);
}

#[test]
fn every_setting_is_documented() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md")).unwrap();
    for name in names() {
        assert!(text.contains(&format!("`{name}`")), "operations.md does not name {name}");
    }
}

#[test]
fn a_ticket_is_shown_only_by_whose_it_is() {
    use softadastra_core::dice::Seed;
    use softadastra_core::transport::identity::{Identity, NetworkSecret};
    let seed = Seed::from_number(7);
    let key = Identity::generate(&mut seed.secrets("identity")).key();
    let secret = Some(NetworkSecret::generate(&mut seed.secrets("network")));
    let ticket = crate::Ticket { key, secret, addresses: Vec::new() }.reveal().to_string();
    let settings = layers(&[("SOFTADASTRA_PEERS", &format!("a:1,{ticket}"))], &[]).resolve().unwrap();
    let peers = CATALOG.iter().find(|setting| setting.name == "peers").unwrap();
    assert_eq!(settings.shown(peers), format!("a:1, the ticket of {key}"));
    assert!(!format!("{settings:?}").contains(&ticket[9..40]), "not even for debugging");
}
