//! `softadastra config`.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::support::{Place, run};

fn setting(shown: &Value, key: &str) -> Value {
    let all = shown["settings"].as_array().unwrap();
    all.iter().find(|setting| setting["key"] == key).unwrap_or_else(|| panic!("no {key} in {shown}")).clone()
}

#[test]
fn a_file_is_written_commented_and_never_over_another() {
    let place = Place::empty();
    let file = place.data().join("softadastra.toml");
    let written = place.run(&["config", "init", "--json"]).data("softadastra.config_init/1");
    assert_eq!(written["file"], file.to_str().unwrap());
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(place.data()).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(std::fs::read(&file).unwrap(), place.run(&["config", "init", "-"]).ok().as_bytes());
    let again = place.run(&["config", "init", "--json"]);
    assert_eq!((again.code, &again.error()["code"]), (1, &json!("already_exists")));
    let checked = place.run(&["config", "check", "--json"]).data("softadastra.config_check/1");
    // The directory itself is set, by a flag.
    assert_eq!(checked, json!({"file": file.to_str().unwrap(), "set": 2, "warnings": []}));
    let elsewhere = place.path().join("node.toml");
    place.run(&["config", "init", elsewhere.to_str().unwrap()]).ok();
    assert_eq!(std::fs::read(&elsewhere).unwrap(), std::fs::read(&file).unwrap());
    // It is in no node's way.
    place.run(&["init"]).ok();
}

#[test]
fn each_setting_is_shown_with_where_it_comes_from() {
    let place = Place::new();
    let config = place.data().join("softadastra.toml");
    std::fs::write(&config, "durability = \"1s\"\nmax_retries = 3\nlisten = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n")
        .unwrap();
    let mut command = place.command(&["--set", "max_retries=4", "config", "show", "--json"]);
    command.env("SOFTADASTRA_AUTO_TICK", "false");
    let shown = run(command, b"").data("softadastra.config/1");
    let config = config.to_str().unwrap();
    assert_eq!(shown["file"], config);
    let is = |key, value: &str, source: &str, from: Value| {
        assert_eq!(setting(&shown, key), json!({"key": key, "value": value, "source": source, "from": from}));
    };
    is("durability", "1s", "file", json!(config));
    is("max_retries", "4", "flag", json!("--set"));
    is("auto_tick", "false", "environment", json!("SOFTADASTRA_AUTO_TICK"));
    is("listen", "127.0.0.1:1, 127.0.0.1:2", "file", json!(config));
    is("required_acks", "1", "default", json!(null));
    let text = place.run(&["config", "show"]).ok();
    assert!(text.lines().any(|line| line.split_whitespace().eq(["durability", "1s", config])), "{text}");
}

#[test]
fn mistakes_are_told_with_key_and_place_and_exit_2() {
    let place = Place::new();
    let config = place.data().join("softadastra.toml");
    for (text, named) in [
        ("autoflush = true", "unknown setting \"autoflush\""),
        ("max_value_len = \"65MiB\"", "max_value_len"),
        ("required_acks = 0", "required_acks"),
        ("log = \"=\"", "setting log"),
        ("log = \"warning\"", "off, error, warn, info, debug, trace"),
        ("discovery_stale_after = \"1s\"", "discovery_stale_after from the file"),
        ("durability = ", "line 1 is not TOML"),
    ] {
        std::fs::write(&config, text).unwrap();
        let ran = place.run(&["config", "check", "--json"]);
        assert_eq!((ran.code, &ran.error()["code"]), (2, &json!("invalid_argument")), "{text}: {ran:?}");
        assert!(ran.error()["message"].as_str().unwrap().contains(named), "{ran:?}");
    }
    let open = Place::empty().run(&["--set", "listen=0.0.0.0:4444", "config", "check"]);
    assert_eq!(open.code, 2, "who would let in everybody is told: {open:?}");
}

#[test]
fn a_level_that_is_mistyped_silences_nothing() {
    let place = Place::new();
    let ran = place.run(&["--log-level", "wran", "node", "start"]);
    assert!(ran.code == 2 && ran.stderr.contains("\"wran\" is not one of off, error"), "{ran:?}");
}

#[test]
fn what_a_node_would_not_start_with_is_not_sound() {
    let place = Place::new();
    for (set, named) in [
        (&["http=0.0.0.0:9464"][..], "other machines reach this address"),
        (&["listen=127.0.0.1:9464", "http=127.0.0.1:9464"], "are one port"),
        (&["node_id=other"], "the directory is that of till-1"),
        (&["trust=network"], "setting trust from the flag --set: trust mode network needs"),
        (&["listen=192.0.2.1:4444"], "in trust mode open everybody"),
        (
            &["peers=127.0.0.1:4444 till-2"],
            "setting peers from the flag --set: it is not known where the peer till-2 is",
        ),
    ] {
        let set: Vec<&str> = set.iter().flat_map(|item| ["--set", item]).collect();
        for command in [&["config", "check"][..], &["doctor"], &["node", "start"]] {
            let ran = place.run(&[&set[..], command].concat());
            match command {
                ["config", "check"] => assert!(ran.code == 2 && ran.stderr.contains(named), "{ran:?}"),
                ["doctor"] => assert!(ran.code == 1 && ran.out().contains(named), "{ran:?}"),
                _ => assert_eq!(ran.code, if named.contains("directory is that") { 1 } else { 2 }, "{ran:?}"),
            }
        }
    }
    let _node = place.start();
    assert_eq!(place.run(&["--set", "node_id=other", "config", "check"]).code, 2, "the node that runs there is asked");
    let mdns = place.run(&["--json", "--set", "discovery_mdns=true", "config", "check"]);
    let warnings = mdns.data("softadastra.config_check/1")["warnings"].clone();
    assert!(warnings[0].as_str().unwrap().contains("`listen` is not set"), "{warnings}");
}

#[test]
fn secrets_are_not_shown_and_open_files_with_secrets_are_told() {
    let place = Place::new();
    let ticket = place.run(&["ticket", "--json"]).data("softadastra.ticket/1");
    let (text, key) = (ticket["ticket"].as_str().unwrap(), ticket["public_key"].as_str().unwrap());
    let config = place.data().join("softadastra.toml");
    std::fs::write(&config, format!("peers = [\"a:1\", \"{text}\"]\n")).unwrap();
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o644)).unwrap();
    for form in [&["config", "show"][..], &["config", "show", "--json"]] {
        let ran = place.run(form);
        assert!(ran.out().contains(&format!("a:1, the ticket of {key}")), "{ran:?}");
        assert!(!ran.out().contains(&text[..20]), "{ran:?}");
    }
    let check = || place.run(&["config", "check", "--json"]).data("softadastra.config_check/1")["warnings"].clone();
    assert!(check()[0].as_str().unwrap().contains("chmod 600"));
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(check(), json!([]));
}
