use super::*;
use softadastra_core::dice::Seed;
use std::fs;

fn content() -> Content {
    let mut content = Content::of(Identity::generate(&mut Seed::from_number(3).secrets("test")));
    content.secret = Some(NetworkSecret::from_bytes([9; 32]));
    content.chosen_mode = Some(TrustMode::Pinned);
    content.trusted.insert(NodeKey([1; 32]));
    content.pin(NodeId::new("till-3").unwrap(), NodeKey([2; 32]));
    content.remember(KnownPeer::dialled(None, vec!["[::1]:4444".parse().unwrap()])).unwrap();
    content.remember(KnownPeer::dialled(Some(NodeKey([2; 32])), vec!["desk:4444".parse().unwrap()])).unwrap();
    content
}

/// As it is once peers were disconnected and forgotten by hand.
fn content_with_refusals() -> Content {
    let mut content = content();
    content.remember(KnownPeer { key: Some(NodeKey([3; 32])), addresses: Vec::new(), held: true }).unwrap();
    content.peers[0].held = true;
    content.forgotten.insert(NodeKey([4; 32]));
    content
}

fn held(dir: &tempfile::TempDir) -> HeldDir {
    HeldDir::open(dir.path()).unwrap()
}

fn put(dir: &Path, text: &str) {
    fs::write(dir.join(FILE_NAME), text).unwrap();
    fs::set_permissions(dir.join(FILE_NAME), Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn all_of_it_is_read_back_from_a_private_file() {
    let dir = tempfile::tempdir().unwrap();
    assert!(read(&held(&dir)).unwrap().is_none());
    // Left behind by a crash, open to all.
    fs::write(dir.path().join(DRAFT), "half").unwrap();
    fs::set_permissions(dir.path().join(DRAFT), Permissions::from_mode(0o644)).unwrap();
    write(&held(&dir), &content()).unwrap();
    let mode = fs::metadata(dir.path().join(FILE_NAME)).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert!(!dir.path().join(DRAFT).exists());

    let (back, wrote) = (read(&held(&dir)).unwrap().unwrap(), content());
    assert_eq!(back.identity.seed(), wrote.identity.seed());
    assert_eq!((back.secret, back.chosen_mode), (wrote.secret, wrote.chosen_mode));
    assert_eq!((back.trusted, back.pins, back.peers), (wrote.trusted, wrote.pins, wrote.peers));
    let wrote = content_with_refusals();
    write(&held(&dir), &wrote).unwrap();
    let back = read(&held(&dir)).unwrap().unwrap();
    assert_eq!((back.peers, back.forgotten), (wrote.peers, wrote.forgotten));
}

#[test]
fn the_first_version_is_read_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), include_str!("golden-1.json"));
    let back = read(&held(&dir)).unwrap().unwrap();
    assert_eq!(back.identity.key(), content().identity.key());
    assert_eq!(back.peers, content().peers);
    write(&held(&dir), &back).unwrap();
    assert_eq!(fs::read_to_string(dir.path().join(FILE_NAME)).unwrap(), include_str!("golden-1.json"));
}

#[test]
fn a_file_with_refusals_is_read_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), include_str!("golden-1-refusals.json"));
    let back = read(&held(&dir)).unwrap().unwrap();
    let wanted = content_with_refusals();
    assert_eq!((&back.peers, &back.forgotten), (&wanted.peers, &wanted.forgotten));
    write(&held(&dir), &back).unwrap();
    let text = fs::read_to_string(dir.path().join(FILE_NAME)).unwrap();
    assert_eq!(text, include_str!("golden-1-refusals.json"));
}

#[test]
fn a_file_that_others_can_use_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    write(&held(&dir), &content()).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o601] {
        fs::set_permissions(dir.path().join(FILE_NAME), Permissions::from_mode(mode)).unwrap();
        let error = read(&held(&dir)).unwrap_err();
        assert_eq!(error.code(), Code::TransportError);
        assert!(error.what().contains(&format!("mode {mode:04o}")) && error.next().contains("chmod 600"), "{error}");
    }
}

#[test]
fn every_damaged_byte_is_noticed_or_harmless_and_no_secret_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    write(&held(&dir), &content()).unwrap();
    let whole = fs::read_to_string(dir.path().join(FILE_NAME)).unwrap();
    let seed = STANDARD.encode(*content().identity.seed());
    let secret = content().secret.unwrap().reveal();
    for at in 0..whole.len() {
        let mut bytes = whole.clone().into_bytes();
        bytes[at] = if bytes[at] == b'Q' { b'R' } else { b'Q' };
        put(dir.path(), &String::from_utf8(bytes).unwrap());
        match read(&held(&dir)) {
            // A name, an address or another public key may be another one now; never the node's own.
            Ok(content_now) => assert_eq!(content_now.unwrap().identity.key(), content().identity.key(), "byte {at}"),
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains("network.json"), "{text}");
                assert!(!text.contains(&seed[..12]) && !text.contains(&secret[..12]), "byte {at}: {text}");
            }
        }
    }
    for cut in 0..whole.trim_end().len() {
        put(dir.path(), &whole[..cut]);
        assert_eq!(read(&held(&dir)).map(drop).unwrap_err().code(), Code::TransportError, "cut at {cut}");
    }
    fs::write(dir.path().join(FILE_NAME), [0xff, 0xfe]).unwrap();
    assert_eq!(read(&held(&dir)).map(drop).unwrap_err().code(), Code::TransportError);
}

#[test]
fn a_newer_form_and_unknown_fields_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), r#"{"schema": "softadastra.network/2", "keys": []}"#);
    assert_eq!(read(&held(&dir)).map(drop).unwrap_err().code(), Code::FormatTooNew);
    write(&held(&dir), &content()).unwrap();
    let whole = fs::read_to_string(dir.path().join(FILE_NAME)).unwrap();
    put(dir.path(), &whole.replacen("\"trust\"", "\"trsut\"", 1));
    let error = read(&held(&dir)).map(drop).unwrap_err();
    assert!(error.what().contains("line 6"), "{error}");
}
