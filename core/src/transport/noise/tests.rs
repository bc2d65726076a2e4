//! The known vectors, and rekeying.

use alloc::string::String;

use super::*;

/// Gives the bytes it was told to.
struct Script(Vec<u8>);

impl Random for Script {
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), snow::Error> {
        bytes.copy_from_slice(&self.0);
        Ok(())
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[derive(Default)]
struct Vector {
    fields: alloc::collections::BTreeMap<String, Vec<u8>>,
    messages: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Vector {
    fn side(&self, role: Role) -> Handshake {
        let prefix = if role == Role::Initiator { "init" } else { "resp" };
        let field = |name: &str| &self.fields[&alloc::format!("{prefix}_{name}")];
        let secret = self.fields.get(&alloc::format!("{prefix}_psk"));
        let secret = secret.map(|bytes| NetworkSecret::from_bytes(bytes.as_slice().try_into().unwrap()));
        let key = field("static").as_slice().try_into().unwrap();
        let random = Box::new(Script(field("ephemeral").clone()));
        Handshake::new(Suite::Real, role, field("prologue"), secret.as_ref(), &key, random)
    }
}

fn vectors() -> Vec<Vector> {
    let mut vectors = Vec::new();
    for line in include_str!("../../../tests/fixtures/noise-vectors.txt").lines() {
        let Some((name, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else { continue };
        if name == "protocol" {
            vectors.push(Vector::default());
            continue;
        }
        let vector = vectors.last_mut().unwrap();
        match name {
            "payload" => vector.messages.push((unhex(value), Vec::new())),
            "ciphertext" => vector.messages.last_mut().unwrap().1 = unhex(value),
            _ => drop(vector.fields.insert(name.into(), unhex(value))),
        }
    }
    vectors
}

#[test]
fn the_cacophony_vectors_hold() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 2);
    for vector in vectors {
        let (mut a, mut b) = (vector.side(Role::Initiator), vector.side(Role::Responder));
        assert_eq!(vector.messages.len(), 6);
        for (index, (payload, sealed)) in vector.messages[..3].iter().enumerate() {
            let (writer, reader) = if index % 2 == 0 { (&mut a, &mut b) } else { (&mut b, &mut a) };
            assert_eq!(writer.write(payload).unwrap(), *sealed);
            assert_eq!(reader.read(sealed).unwrap(), *payload);
        }
        assert_eq!(a.hash(), vector.fields["handshake_hash"]);
        assert_eq!(b.hash(), vector.fields["handshake_hash"]);
        let (mut a, mut b) = (a.finish(), b.finish());
        for (index, (payload, sealed)) in vector.messages[3..].iter().enumerate() {
            let (writer, reader) = if index % 2 == 1 { (&mut a, &mut b) } else { (&mut b, &mut a) };
            let mut out = Vec::new();
            writer.seal(payload, &mut out);
            assert_eq!(out, *sealed);
            assert_eq!(reader.open(sealed).unwrap(), *payload);
        }
    }
}

#[test]
fn the_link_key_that_a_side_signs_is_the_one_the_other_reads() {
    for vector in vectors() {
        let (mut a, mut b) = (vector.side(Role::Initiator), vector.side(Role::Responder));
        b.read(&a.write(b"").unwrap()).unwrap();
        a.read(&b.write(b"").unwrap()).unwrap();
        b.read(&a.write(b"").unwrap()).unwrap();
        let own = |name: &str| public_key(Suite::Real, vector.fields[name].as_slice().try_into().unwrap());
        assert_eq!(a.remote_key(), Some(own("resp_static")));
        assert_eq!(b.remote_key(), Some(own("init_static")));
    }
}

#[test]
fn both_sides_change_keys_or_nothing_opens() {
    let vector = &vectors()[0];
    let (mut a, mut b) = (vector.side(Role::Initiator), vector.side(Role::Responder));
    b.read(&a.write(b"").unwrap()).unwrap();
    a.read(&b.write(b"").unwrap()).unwrap();
    b.read(&a.write(b"").unwrap()).unwrap();
    let (mut a, mut b) = (a.finish(), b.finish());
    let seal = |a: &mut Ciphers| {
        let mut out = Vec::new();
        a.seal(b"x", &mut out);
        out
    };
    let first = seal(&mut a);
    assert_eq!(b.open(&first), Ok(b"x".to_vec()));
    assert_eq!(b.open(&first), Err(Forged), "replayed");
    a.rekey_sealing();
    let second = seal(&mut a);
    assert_eq!(b.open(&second), Err(Forged), "the old key");
    b.rekey_opening();
    assert_eq!(b.open(&second), Ok(b"x".to_vec()));
}
