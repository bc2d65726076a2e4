//! Exit codes, messages, literal and binary values, closed pipes, settings.

use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::json;

use crate::support::{Place, binary, run};

#[test]
fn versions_and_completions_need_no_directory() {
    let place = Place::empty();
    assert_eq!(place.run(&["version"]).ok(), format!("softadastra {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(place.run(&["--version"]).ok(), format!("softadastra {}\n", env!("CARGO_PKG_VERSION")));
    let data = place.run(&["version", "--json"]).data("softadastra.version/1");
    assert_eq!(data, json!({"version": env!("CARGO_PKG_VERSION")}));
    for shell in ["bash", "zsh", "fish"] {
        assert!(place.run(&["completions", shell]).ok().contains("softadastra"));
    }
    assert!(place.run(&["help", "store", "put"]).ok().contains("Set a value"));
    let man = place.path().join("man1");
    let manual = place.run(&["man", man.to_str().unwrap(), "--json"]).data("softadastra.man/1");
    assert!(manual["pages"].as_array().unwrap().contains(&json!("softadastra-store-put.1")), "{manual}");
    let page = std::fs::read_to_string(man.join("softadastra-store-put.1")).unwrap();
    assert!(page.contains("Set a value") && page.contains("if\\-version"), "{page}");
    assert!(!place.data().exists());
}

#[test]
fn versions_and_completions_are_told_in_spite_of_a_broken_configuration() {
    let place = Place::new();
    std::fs::write(place.data().join("softadastra.toml"), "max_value_len = [").unwrap();
    assert_eq!(place.run(&["version", "--json"]).data("softadastra.version/1")["version"], env!("CARGO_PKG_VERSION"));
    assert!(place.run(&["completions", "bash"]).ok().contains("softadastra"));
    assert_eq!(place.run(&["status"]).code, 2);
}

#[test]
fn settings_out_of_range_are_exit_2_wherever_they_stand() {
    let place = Place::new();
    let by_flag = place.run(&["--set", "max_value_len=0", "status"]);
    let mut by_env = place.command(&["status"]);
    by_env.env("SOFTADASTRA_MAX_VALUE_LEN", "0");
    let by_env = run(by_env, b"");
    std::fs::write(place.data().join("softadastra.toml"), "max_value_len = 0").unwrap();
    for ran in [by_flag, by_env, place.run(&["status"]), place.run(&["node", "start"])] {
        assert!(ran.code == 2 && ran.stderr.contains("max_value_len is 0"), "{ran:?}");
    }
}

#[test]
fn a_relative_data_directory_is_shown_in_full() {
    let place = Place::new();
    let mut info = binary();
    info.current_dir(place.path()).args(["--data-dir", "data", "node", "info", "--json"]);
    let info = run(info, b"").data("softadastra.node/1");
    assert_eq!(info["data_dir"], place.data().to_str().unwrap());
}

#[test]
fn a_backup_that_was_verified_says_so() {
    let place = Place::new();
    let backup = place.path().join("backup");
    let backup = backup.to_str().unwrap();
    assert!(!place.run(&["backup", backup]).ok().contains("Verified"));
    assert!(place.run(&["backup", backup, "--verify"]).ok().contains("Verified"));
    assert_eq!(place.run(&["backup", backup, "--verify", "--json"]).data("softadastra.backup/1")["verified"], true);
}

#[test]
fn mistakes_in_the_arguments_are_exit_2() {
    let place = Place::empty();
    for args in
        [&["nonsense"][..], &["store", "put", "k"], &["store", "list", "--limit", "few"], &["-q", "-v", "status"]]
    {
        let ran = place.run(args);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stdout.is_empty() && ran.stderr.starts_with("error: "), "{ran:?}");
    }
    let ran = place.run(&["--json", "nonsense"]);
    assert_eq!((ran.code, &ran.error()["code"]), (2, &json!("invalid_argument")));
    assert!(!ran.stderr.contains("For more information"), "{ran:?}");
    let ran = place.run(&["init", "--node-id", "no spaces"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("\"no spaces\""), "{ran:?}");
}

#[test]
fn a_missing_directory_is_told_with_what_creates_it() {
    let place = Place::empty();
    for args in [&["status"][..], &["store", "put", "k", "v"], &["store", "get", "k"], &["wal", "verify"]] {
        let ran = place.run(args);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.contains("softadastra init") && ran.stderr.contains("[not_found]"), "{ran:?}");
        assert!(!place.data().exists());
    }
}

#[test]
fn init_creates_once() {
    let place = Place::empty();
    let data = place.run(&["init", "--node-id", "till-3", "--json"]).data("softadastra.init/1");
    assert_eq!(data["node_id"], "till-3");
    assert_eq!(data["replica_id"].as_str().unwrap().len(), 32);
    let again = place.run(&["init", "--node-id", "till-4", "--json"]);
    assert_eq!((again.code, &again.error()["code"]), (1, &json!("already_exists")));
    let info = place.run(&["node", "info", "--json"]).data("softadastra.node/1");
    assert_eq!((&info["node_id"], &info["replica_id"]), (&json!("till-3"), &data["replica_id"]));
    assert_eq!(info["running"], false);
    assert!(place.run(&["node", "info"]).ok().starts_with("Node            till-3\n"));
}

#[test]
fn put_get_remove_contains_and_size_answer_in_words() {
    let place = Place::new();
    assert_eq!(place.run(&["store", "put", "greeting", "hello"]).ok(), "greeting: version 1, created\n");
    assert_eq!(place.run(&["store", "put", "greeting", "hello"]).ok(), "greeting: version 1, unchanged\n");
    assert_eq!(place.run(&["store", "put", "greeting", "hello there"]).ok(), "greeting: version 2, updated\n");
    assert_eq!(place.run(&["store", "get", "greeting"]).ok(), "hello there\n");
    assert_eq!(place.run(&["store", "get", "greeting", "--raw"]).ok(), "hello there");
    assert_eq!(place.run(&["store", "contains", "greeting"]).ok(), "true\n");
    assert_eq!(place.run(&["store", "size"]).ok(), "1\n");
    assert_eq!(place.run(&["store", "remove", "greeting"]).ok(), "greeting: version 3, removed\n");
    assert_eq!(place.run(&["store", "size"]).ok(), "0\n");
    let ran = place.run(&["store", "contains", "greeting"]);
    assert_eq!((ran.code, &ran.out()[..], &ran.stderr[..]), (1, "false\n", ""));
}

#[test]
fn a_missing_key_is_said_and_exit_1() {
    let place = Place::new();
    for command in ["get", "remove"] {
        let ran = place.run(&["store", command, "no such key"]);
        assert_eq!((ran.code, &ran.out()[..], &ran.stderr[..]), (1, "", "Key not found: no such key\n"));
        let ran = place.run(&["store", command, "no such key", "--json"]);
        assert_eq!(ran.code, 1);
        let error =
            json!({"code": "not_found", "message": "Key not found: no such key", "local_state": "valid", "next": ""});
        assert_eq!(ran.error(), error);
    }
}

#[test]
fn json_answers_have_their_schema() {
    let place = Place::new();
    let put = place.run(&["store", "put", "k", "v", "--json"]).data("softadastra.put/1");
    assert_eq!((&put["key"], &put["version"], &put["outcome"]), (&json!("k"), &json!(1), &json!("created")));
    let value = place.run(&["store", "get", "k", "--json"]).data("softadastra.value/1");
    assert_eq!((&value["key"], &value["value"], &value["lsn"]), (&json!("k"), &json!("v"), &put["lsn"]));
    let contains = place.run(&["store", "contains", "k", "--json"]).data("softadastra.contains/1");
    assert_eq!(contains, json!({"key": "k", "contains": true}));
    let size = place.run(&["store", "size", "--json"]).data("softadastra.size/1");
    assert_eq!(size, json!({"keys": 1, "tombstones": 0, "live_bytes": 2}));
    let list = place.run(&["store", "list", "--json"]).data("softadastra.list/1");
    assert_eq!(list["records"], json!([value]));
    let status = place.run(&["status", "--json"]).data("softadastra.status/1");
    assert_eq!((&status["state"], &status["keys"]), (&json!("ready"), &json!(1)));
    assert_eq!(status["digest"].as_str().unwrap().len(), 32);
    assert_eq!(status["wal"]["last_lsn"], status["wal"]["durable_lsn"]);
    let removed = place.run(&["store", "remove", "k", "--json"]).data("softadastra.remove/1");
    assert_eq!((&removed["key"], &removed["version"]), (&json!("k"), &json!(2)));
    let log = place.run(&["wal", "verify", "--json"]).data("softadastra.wal/1");
    assert_eq!((&log["damage"], &log["closed_cleanly"]), (&json!([]), &json!(true)));
}

#[test]
fn values_are_taken_literally() {
    let place = Place::new();
    for value in ["-5", "--unheard-of", "{\"a\":1}", "a  b ", "", " ", "$HOME", "ä😀", "-n"] {
        place.run(&["store", "put", "k", value]).ok();
        assert_eq!(place.run(&["store", "get", "k", "--raw"]).ok(), value);
        assert_eq!(place.run(&["store", "get", "k"]).ok(), format!("{value}\n"));
    }
    place.run(&["store", "put", "k", "--", "--json"]).ok();
    assert_eq!(place.run(&["store", "get", "k", "--raw"]).ok(), "--json");
    place.run(&["store", "put", "-7", "-8"]).ok();
    assert_eq!(place.run(&["store", "get", "-7"]).ok(), "-8\n");
}

#[test]
fn values_come_from_files_and_stdin_byte_for_byte() {
    let place = Place::new();
    let bytes: Vec<u8> = (0..=255).collect();
    let file = place.file("value", &bytes);
    place.run(&["store", "put", "from file", "--file", file.to_str().unwrap()]).ok();
    place.run_with(&["store", "put", "from stdin", "-"], &bytes).ok();
    place.run_with(&["store", "put", "from stdin too", "--file", "-"], &bytes).ok();
    let mut direct = place.command(&["store", "put", "from the command line"]);
    direct.arg(std::ffi::OsStr::from_bytes(&bytes[1..]));
    run(direct, b"").ok();
    for key in ["from file", "from stdin", "from stdin too"] {
        assert_eq!(place.run(&["store", "get", key, "--raw"]).stdout, bytes);
    }
    assert_eq!(place.run(&["store", "get", "from the command line", "--raw"]).stdout, &bytes[1..]);

    let ran = place.run(&["store", "get", "from file"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.is_empty() && ran.stderr.contains("256 bytes that are not text"), "{ran:?}");
    let data = place.run(&["store", "get", "from file", "--json"]).data("softadastra.value/1");
    assert!(data["value_base64"].as_str().unwrap().starts_with("AAEC"), "{data}");

    let ran = place.run(&["store", "put", "k", "--file", "/no/such/file"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("/no/such/file"), "{ran:?}");
}

#[test]
fn keys_that_are_not_text_are_reached_as_base64() {
    let place = Place::new();
    place.run(&["store", "put", "--key-base64", "/wA=", "v"]).ok();
    let list = place.run(&["store", "list", "--json"]).data("softadastra.list/1");
    assert_eq!(list["records"][0]["key_base64"], "/wA=");
    assert_eq!(place.run(&["store", "list", "--keys"]).ok(), "\\xff\\u{0}\n");
    assert_eq!(place.run(&["store", "get", "--key-base64", "/wA="]).ok(), "v\n");
    assert_eq!(place.run(&["store", "get", "--key-base64", "%"]).code, 2);
}

#[test]
fn keys_and_values_out_of_bounds_are_refused_by_name() {
    let place = Place::new();
    let long = "k".repeat(1025);
    let great = vec![b'v'; (1 << 20) + 1];
    let cases = [
        (place.run(&["store", "put", "", "v", "--json"]), "key"),
        (place.run(&["store", "get", "", "--json"]), "key is empty"),
        (place.run(&["store", "put", &long, "v", "--json"]), "1025"),
        (place.run_with(&["store", "put", "k", "-", "--json"], &great), "1048577"),
    ];
    for (ran, named) in cases {
        assert_eq!((ran.code, &ran.error()["code"]), (2, &json!("invalid_argument")), "{ran:?}");
        assert!(ran.error()["message"].as_str().unwrap().contains(named), "{ran:?}");
    }
    assert_eq!(place.run(&["store", "size"]).ok(), "0\n");
    place.run_with(&["--set", "max_value_len=2MiB", "store", "put", "k", "-"], &great).ok();
}

#[test]
fn writes_may_depend_on_the_version() {
    let place = Place::new();
    place.run(&["store", "put", "k", "1", "--if-version", "0"]).ok();
    let ran = place.run(&["store", "put", "k", "2", "--if-version", "0", "--json"]);
    assert_eq!((ran.code, &ran.error()["code"]), (1, &json!("version_mismatch")));
    place.run(&["store", "put", "k", "2", "--if-version", "1"]).ok();
    assert_eq!(place.run(&["store", "get", "k"]).ok(), "2\n");
}

#[test]
fn lists_are_ordered_and_cut_where_asked() {
    let place = Place::new();
    let lines =
        ["b/2", "a", "b/1", "b/10", "c", "b"].map(|key| format!("{{\"key\":\"{key}\",\"value\":\"of {key}\"}}\n"));
    place.run_with(&["store", "import", "-"], lines.concat().as_bytes()).ok();
    let keys = |args: &[&str]| {
        let out = place.run(&[&["store", "list", "--keys"], args].concat()).ok();
        out.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(keys(&[]), ["a", "b", "b/1", "b/10", "b/2", "c"]);
    assert_eq!(keys(&["b/"]), ["b/1", "b/10", "b/2"]);
    assert_eq!(keys(&["--prefix", "b/1"]), ["b/1", "b/10"]);
    assert_eq!(keys(&["--limit", "2"]), ["a", "b"]);
    assert_eq!(keys(&["--after", "b/1", "--limit", "2"]), ["b/10", "b/2"]);
    assert_eq!(keys(&["nothing"]), Vec::<String>::new());
    assert_eq!(
        place.run(&["store", "list", "b/1"]).ok(),
        "KEY   VERSION  BYTES  VALUE\nb/1         1      6  of b/1\nb/10        1      7  of b/10\n"
    );
    assert_eq!(place.run(&["store", "list", "none", "--json"]).data("softadastra.list/1"), json!({"records": []}));
}

#[test]
fn a_long_list_goes_on_from_page_to_page() {
    let place = Place::new();
    let lines: String = (0..2500).map(|n| format!("{{\"key\":\"key {n:05}\",\"value\":\"{n}\"}}\n")).collect();
    place.run_with(&["store", "import"], lines.as_bytes()).ok();
    let table = place.run(&["store", "list"]).ok();
    assert_eq!(table.lines().count(), 2501);
    assert_eq!(table.lines().filter(|line| line.starts_with("KEY")).count(), 1);
    let list = place.run(&["store", "list", "--json"]).data("softadastra.list/1");
    let keys: Vec<_> = list["records"].as_array().unwrap().iter().map(|record| record["key"].clone()).collect();
    assert_eq!(keys.len(), 2500);
    assert!(keys.is_sorted_by(|a, b| a.as_str() < b.as_str()));
    assert_eq!(place.run(&["store", "list", "--keys", "--limit", "1500"]).ok().lines().count(), 1500);
}

#[test]
fn a_closed_pipe_is_a_quiet_exit() {
    let place = Place::new();
    let lines: String = (0..20_000).map(|n| format!("{{\"key\":\"key {n:05}\",\"value\":\"value {n}\"}}\n")).collect();
    place.run_with(&["store", "import"], lines.as_bytes()).ok();
    for args in [&["store", "list"][..], &["store", "export"], &["store", "list", "--json"]] {
        let mut child =
            place.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let mut start = [0; 10];
        child.stdout.take().unwrap().read_exact(&mut start).unwrap();
        let done = child.wait_with_output().unwrap();
        assert_eq!((done.status.code(), &done.stderr[..]), (Some(0), &b""[..]), "{args:?}");
    }
    // The directory was closed cleanly all the same.
    let log = place.run(&["wal", "inspect", "--json"]).data("softadastra.wal/1");
    assert_eq!(log["closed_cleanly"], true);
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let place = Place::new();
    place.run(&["store", "put", "k", "v"]).ok();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let done = place.command(&["store", "get", "k"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&done.stderr).contains("cannot write the output"));
}

#[test]
fn settings_come_from_file_environment_and_flags() {
    let place = Place::empty();
    let config = place.file("node.toml", "node_id = \"from-file\"\njson = true\n");
    let with_config = |env: &[(&str, &str)], args: &[&str]| {
        let mut command = place.command(&["--config", config.to_str().unwrap()]);
        command.args(args).envs(env.iter().copied());
        run(command, b"")
    };
    let data = with_config(&[("SOFTADASTRA_NODE_ID", "from-env")], &["init"]).data("softadastra.init/1");
    assert_eq!(data["node_id"], "from-env");

    std::fs::write(&config, "node_id = \"x\"\nautoflush = true\n").unwrap();
    let ran = with_config(&[], &["status"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("\"autoflush\"") && ran.stderr.contains("node.toml"), "{ran:?}");
    let ran = run(
        {
            let mut command = place.command(&["status", "--json"]);
            command.env("SOFTADASTRA_DURABLE", "yes");
            command
        },
        b"",
    );
    assert_eq!(ran.code, 2);
    assert!(ran.error()["message"].as_str().unwrap().contains("\"SOFTADASTRA_DURABLE\""), "{ran:?}");
}

#[test]
fn colour_is_there_when_asked_for_only() {
    let place = Place::new();
    assert_eq!(
        place.run(&["store", "put", "k", "v", "--color", "always"]).ok(),
        "\x1b[1mk\x1b[0m: version 1, created\n"
    );
    assert!(place.run(&["store", "put", "", "v", "--color", "always"]).stderr.starts_with("\x1b[1;31merror:\x1b[0m "));
    assert!(!place.run(&["status"]).ok().contains('\x1b'));
    let text = "\x1b[31mred\x1b[0m";
    place.run(&["store", "put", "k", text]).ok();
    assert_eq!(place.run(&["store", "get", "k"]).ok(), format!("{text}\n"), "values are never touched");
    assert!(
        !place.run(&["store", "list", "--color", "never"]).ok().contains('\x1b'),
        "a list cannot paint the terminal"
    );
}

#[test]
fn the_directory_may_come_from_the_environment() {
    let place = Place::new();
    let mut command = binary();
    command.env("SOFTADASTRA_DATA_DIR", place.data()).args(["store", "size"]);
    assert_eq!(run(command, b"").ok(), "0\n");
}

#[test]
fn places_that_cannot_hold_a_node_are_named() {
    let place = Place::empty();
    std::fs::write(place.data(), "a file").unwrap();
    let ran = place.run(&["init", "--json"]);
    assert_eq!((ran.code, &ran.error()["code"]), (1, &json!("invalid_argument")), "{ran:?}");
    assert!(ran.error()["message"].as_str().unwrap().contains("not a directory"), "{ran:?}");

    if rustix::process::geteuid().is_root() {
        return; // Permissions do not bind root.
    }
    let place = Place::new();
    std::fs::set_permissions(place.data(), std::fs::Permissions::from_mode(0o500)).unwrap();
    let ran = place.run(&["store", "put", "k", "v", "--json"]);
    std::fs::set_permissions(place.data(), std::fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!((ran.code, &ran.error()["code"]), (1, &json!("io_error")), "{ran:?}");
}

#[test]
fn a_directory_of_somebody_else_is_told_and_not_a_file_in_it() {
    let place = Place::new();
    let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    let is_root = rustix::process::geteuid().is_root();
    mode(place.path(), 0o755);
    let run_as_another = |args: &[&str]| {
        let mut command = place.command(args);
        if is_root {
            command.uid(65534);
        } else {
            mode(&place.data(), 0);
        }
        let ran = command.output();
        mode(&place.data(), 0o700);
        ran
    };
    // Where this binary lies, another user may not come.
    let Ok(status) = run_as_another(&["status"]) else { return };
    let told = String::from_utf8(status.stderr).unwrap();
    assert!(status.status.code() == Some(1) && !told.contains("configuration file"), "{told}");
    assert!(!is_root || told.contains("belongs to the user with id 0"), "{told}");
    let doctor = run_as_another(&["doctor"]).unwrap();
    let table = String::from_utf8(doctor.stdout).unwrap();
    let found = table.lines().any(|line| line.split_whitespace().take(2).eq(["directory", "failed"]));
    assert!(found, "{table}: {}", String::from_utf8_lossy(&doctor.stderr));
}

#[test]
fn snapshots_backups_and_restores() {
    let place = Place::new();
    place.run(&["store", "put", "k", "v"]).ok();
    let snapshot = place.run(&["snapshot", "--json"]).data("softadastra.snapshot/1");
    assert!(snapshot["at"].as_u64().unwrap() > 0, "{snapshot}");
    let copy = place.path().join("backup");
    let backup = place.run(&["backup", copy.to_str().unwrap(), "--json"]).data("softadastra.backup/1");
    assert_eq!(backup["copied_files"], backup["files"]);
    let checked = place.run(&["backup", copy.to_str().unwrap(), "--verify", "--json"]).data("softadastra.backup/1");
    assert_eq!(checked["bytes"], backup["bytes"]);

    let other = Place::empty();
    let restored = other.run(&["restore", copy.to_str().unwrap(), "--json"]).data("softadastra.restore/1");
    assert_eq!((&restored["keys"], &restored["node_id"]), (&json!(1), &json!("till-1")));
    assert_ne!(restored["replica_id"], restored["old_replica_id"]);
    assert_eq!(other.run(&["store", "get", "k"]).ok(), "v\n");
    let again = other.run(&["restore", copy.to_str().unwrap(), "--json"]);
    assert_eq!((again.code, &again.error()["code"]), (1, &json!("already_exists")));
}

#[test]
fn damage_is_found_named_and_repaired_only_when_asked() {
    let place = Place::new();
    for n in 0..20 {
        place.run(&["store", "put", &format!("key-{n}"), &"v".repeat(100)]).ok();
    }
    let log = place.run(&["wal", "verify", "--json"]).data("softadastra.wal/1");
    let file = place.data().join("wal").join(log["segments"][0]["file"].as_str().unwrap());
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.windows(5).position(|window| window == b"key-3").expect("the key is in the log");
    bytes[at] ^= 1;
    std::fs::write(&file, bytes).unwrap();

    let ran = place.run(&["store", "get", "key-1", "--json"]);
    assert_eq!((ran.code, &ran.error()["code"]), (1, &json!("wal_corrupt")));
    assert_eq!(ran.error()["local_state"], "damaged");
    let ran = place.run(&["wal", "verify", "--json"]);
    assert_eq!((ran.code, &ran.error()["code"]), (1, &json!("wal_corrupt")));
    let message = ran.error()["message"].as_str().unwrap().to_owned();
    assert!(message.contains(".seg at offset ") && message.contains("LSN "), "{message}");
    assert_eq!(ran.data("softadastra.wal/1")["damage"].as_array().unwrap().len(), 1);
    assert_eq!(place.run(&["wal", "inspect"]).code, 0);

    let repaired = place.run(&["wal", "repair", "--json"]).data("softadastra.repair/1");
    assert_eq!(repaired["keys"], 19);
    assert!(std::fs::exists(repaired["kept_aside"].as_str().unwrap()).unwrap());
    assert_eq!(place.run(&["store", "size"]).ok(), "19\n");
    let again = place.run(&["wal", "repair", "--json"]);
    assert_eq!((again.code, &again.error()["code"]), (1, &json!("invalid_state")));
}

#[test]
fn an_init_that_was_cut_short_can_be_done_again() {
    let place = Place::empty();
    std::fs::create_dir_all(place.data().join("wal")).unwrap();
    place.run(&["init", "--node-id", "again"]).ok();
    assert_eq!(place.run(&["init"]).code, 1);
    let ran = place.run(&["--json", "init", "--node-id", "other"]);
    assert_eq!((ran.code, &ran.error()["code"]), (1, &json!("already_exists")), "{ran:?}");
}

#[test]
fn a_segment_that_is_a_link_is_refused_not_passed_over() {
    let place = Place::new();
    place.run(&["store", "put", "k", "v"]).ok();
    let segment = place.data().join("wal/0000000000000001.seg");
    let elsewhere = place.path().join("moved");
    std::fs::rename(&segment, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &segment).unwrap();
    for command in [&["--json", "store", "get", "k"][..], &["--json", "wal", "verify"]] {
        let ran = place.run(command);
        assert_eq!((ran.code, &ran.error()["code"]), (1, &json!("io_error")), "{ran:?}");
        assert!(ran.error()["message"].as_str().unwrap().contains("0000000000000001.seg"), "{ran:?}");
    }
}

#[test]
fn a_restore_may_name_its_directory_in_any_way() {
    let place = Place::new();
    place.run(&["store", "put", "k", "v"]).ok();
    let backup = place.path().join("backup").display().to_string();
    place.run(&["backup", &backup]).ok();
    let empty = place.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let fresh = format!("{}/", place.path().join("fresh").display());
    for target in [fresh, format!("{}/.", empty.display())] {
        let mut restore = crate::support::binary();
        restore.args(["--data-dir", &target, "restore", &backup]);
        crate::support::run(restore, b"").ok();
        let mut get = crate::support::binary();
        get.args(["--data-dir", &target, "store", "get", "k"]);
        assert_eq!(crate::support::run(get, b"").ok(), "v\n");
    }
}

#[test]
fn an_export_does_not_replace_what_is_no_plain_file() {
    let place = Place::new();
    let link = place.path().join("link");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    let ran = place.run(&["--json", "store", "export", &link.display().to_string()]);
    assert_eq!((ran.code, &ran.error()["code"]), (1, &json!("invalid_argument")), "{ran:?}");
    assert!(link.is_symlink());
}

#[test]
fn a_lost_log_is_refused_with_both_ways_on() {
    let place = Place::new();
    let name = || place.run(&["node", "info", "--json"]).data("softadastra.node/1");
    let before = name();
    std::fs::remove_dir_all(place.data().join("wal")).unwrap();
    for command in [&["node", "start"][..], &["status"], &["store", "put", "k", "v"], &["init"]] {
        let ran = place.run(&[&["--json"], command].concat());
        assert_eq!((ran.code, &ran.error()["code"]), (1, &json!("invalid_state")), "{ran:?}");
        assert_eq!(ran.error()["local_state"], "damaged");
        let next = ran.error()["next"].as_str().unwrap().to_owned();
        assert!(next.contains("restore a backup") && next.contains("init --new-history"), "{next}");
        assert!(!place.data().join("wal").exists(), "nothing was founded");
    }
    place.run(&["init", "--new-history", "--node-id", "till-1"]).ok();
    let after = name();
    assert_eq!(after["public_key"], before["public_key"]);
    assert_ne!(after["replica_id"], before["replica_id"]);
    let again = place.run(&["--json", "init", "--new-history"]);
    assert_eq!((again.code, &again.error()["code"]), (1, &json!("already_exists")));
}

#[test]
fn a_value_beyond_the_limit_is_a_mistake_in_the_arguments() {
    let place = Place::new();
    let great = vec![b'x'; (1 << 20) + 1];
    let refused = |ran: crate::support::Ran| {
        assert_eq!((ran.code, &ran.error()["code"]), (2, &json!("invalid_argument")), "{ran:?}");
        assert_eq!(ran.error()["local_state"], "valid");
        let message = ran.error()["message"].as_str().unwrap().to_owned();
        assert_eq!(message, "the value has 1048577 bytes, more than the 1048576 that this node takes");
        assert!(ran.error()["next"].as_str().unwrap().contains("max_value_len"));
    };
    refused(place.run_with(&["--json", "store", "put", "k", "-"], &great));
    let node = place.start();
    refused(place.run_with(&["--json", "store", "put", "k", "-"], &great));
    assert_eq!(place.run(&["store", "contains", "k"]).code, 1);
    node.stop();
}

#[test]
fn an_absent_key_is_exit_1_and_a_document_on_standard_error() {
    let place = Place::new();
    let absent = || {
        for command in ["get", "remove"] {
            let ran = place.run(&["--json", "store", command, "K"]);
            assert!(ran.code == 1 && ran.stdout.is_empty(), "{ran:?}");
            let wanted =
                json!({"code": "not_found", "message": "Key not found: K", "local_state": "valid", "next": ""});
            assert_eq!(ran.error(), wanted);
            let ran = place.run(&["store", command, "K"]);
            assert_eq!((ran.code, ran.stdout.len(), ran.stderr.as_str()), (1, 0, "Key not found: K\n"));
        }
        let ran = place.run(&["--json", "store", "contains", "K"]);
        assert_eq!((ran.code, ran.stderr.as_str()), (1, ""));
        assert_eq!(ran.data("softadastra.contains/1"), json!({"key": "K", "contains": false}));
    };
    absent();
    let node = place.start();
    absent();
    node.stop();
}
