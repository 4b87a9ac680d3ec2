//! Tests of sealing, opening and rewrapping, and of everything that must be rejected.

use proptest::prelude::*;

use super::*;

fn ring(ids: &[&str]) -> KeyRing {
    let lines: Vec<String> = ids.iter().map(|id| format!("{id}:{}", encoded_key(id))).collect();
    KeyRing::parse(&lines.join("\n")).expect("ring")
}

/// A key in base64 that depends only on the ID.
fn encoded_key(id: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(token_hash(id))
}

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

fn is_tampered<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Tampered { .. }))
}

fn is_missing<T>(result: Result<T, Error>, id: &str) -> bool {
    matches!(result, Err(Error::MissingKey(missing)) if missing == id)
}

fn open(vault: &Vault, context: &str, sealed: &Sealed) -> String {
    vault.open(context, sealed).expect("open").expose_secret().to_owned()
}

proptest! {
    #[test]
    fn sealed_secret_can_be_opened_before_and_after_rewrapping(context in ".{0,40}", text in "(?s).{0,200}") {
        let vault = Vault::new(ring(&["old"]));
        let sealed = vault.seal(&context, &secret(&text)).expect("seal");
        prop_assert_eq!(open(&vault, &context, &sealed), text.as_str());

        vault.use_keys_of(&Vault::new(ring(&["new", "old"])));
        let rewrapped = vault.rewrap(&context, &sealed).expect("rewrap");
        prop_assert_eq!(&rewrapped.key_id, "new");
        prop_assert_eq!(&rewrapped.ciphertext, &sealed.ciphertext);
        vault.use_keys_of(&Vault::new(ring(&["new"])));
        prop_assert_eq!(open(&vault, &context, &rewrapped), text.as_str());
        prop_assert!(is_missing(vault.open(&context, &sealed), "old"));
        prop_assert!(is_missing(vault.rewrap(&context, &sealed), "old"));
    }

    #[test]
    fn another_context_is_rejected(context in ".{0,20}", other in ".{0,20}") {
        prop_assume!(context != other);
        let vault = Vault::new(ring(&["a"]));
        let sealed = vault.seal(&context, &secret("s")).expect("seal");
        prop_assert!(is_tampered(vault.open(&other, &sealed)));
        prop_assert!(is_tampered(vault.rewrap(&other, &sealed)));
    }

    #[test]
    fn any_flipped_bit_is_rejected(text in ".{0,50}", bit in any::<prop::sample::Index>()) {
        let vault = Vault::new(ring(&["a"]));
        let sealed = vault.seal("c", &secret(&text)).expect("seal");
        let mut altered = sealed.clone();
        let bits = (sealed.wrapped_key.len() + sealed.ciphertext.len()) * 8;
        let index = bit.index(bits);
        let (byte, mask) = (index / 8, 1_u8 << (index % 8));
        match altered.wrapped_key.get_mut(byte) {
            Some(target) => *target ^= mask,
            None => altered.ciphertext[byte - sealed.wrapped_key.len()] ^= mask,
        }
        prop_assert!(is_tampered(vault.open("c", &altered)));
    }

    #[test]
    fn any_shortened_secret_is_rejected(length in 0_usize..60) {
        let vault = Vault::new(ring(&["a"]));
        let sealed = vault.seal("c", &secret("0123456789012345678901234567890123456789")).expect("seal");
        let mut short = sealed.clone();
        short.wrapped_key.truncate(length);
        prop_assert!(is_tampered(vault.open("c", &short)));
        let mut short = sealed;
        short.ciphertext.truncate(length);
        prop_assert!(is_tampered(vault.open("c", &short)));
    }
}

#[test]
fn parts_of_two_secrets_cannot_be_mixed() {
    let vault = Vault::new(ring(&["a", "b"]));
    let one = vault.seal("c", &secret("one")).expect("seal");
    let two = vault.seal("c", &secret("two")).expect("seal");
    let mixed = Sealed { ciphertext: two.ciphertext.clone(), ..one.clone() };
    assert!(is_tampered(vault.open("c", &mixed)));
    let renamed = Sealed { key_id: "b".to_owned(), ..one };
    assert!(matches!(vault.open("c", &renamed), Err(Error::Tampered { key_id }) if key_id == "b"));
}

#[test]
fn another_key_with_the_same_id_is_rejected() {
    let sealed = Vault::new(ring(&["a"])).seal("c", &secret("s")).expect("seal");
    let line = KeyRing::generate();
    let (_, key) = line.expose_secret().split_once(':').expect("line");
    let vault = Vault::new(KeyRing::parse(&format!("a:{key}")).expect("ring"));
    assert!(matches!(vault.open("c", &sealed), Err(Error::Tampered { key_id }) if key_id == "a"));
}

#[test]
fn same_secret_seals_differently_and_is_not_printed() {
    let vault = Vault::new(ring(&["a"]));
    let one = vault.seal("c", &secret("canary-secret")).expect("seal");
    let two = vault.seal("c", &secret("canary-secret")).expect("seal");
    assert_ne!(one.ciphertext, two.ciphertext);
    assert_ne!(one.wrapped_key, two.wrapped_key);
    assert_eq!((one.wrapped_key.len(), one.ciphertext.len()), (60, 13 + 28));
    let printed = format!("{one:?} {vault:?} {:?}", vault.open("c", &one));
    assert!(!printed.contains("canary") && !printed.contains(&encoded_key("a")), "{printed}");
    assert_eq!(vault.active_key_id(), "a");
    assert_eq!(vault.key_ids(), ["a"]);
}

#[test]
fn sealed_bytes_open_only_with_their_key_and_context() {
    let vault = Vault::new(ring(&["a"]));
    for plain in [&b""[..], b"x", &[0xff; 5_000]] {
        let sealed = vault.seal_bytes("here", plain.to_vec()).expect("seal");
        assert_eq!(sealed.ciphertext.len(), plain.len() + 28);
        assert_eq!(vault.open_bytes("here", sealed.clone()).expect("open"), plain);
        assert!(is_tampered(vault.open_bytes("there", sealed.clone())));
        assert!(is_missing(Vault::new(ring(&["b"])).open_bytes("here", sealed.clone()), "a"));
        for index in [0, NONCE_LEN, sealed.ciphertext.len() - 1] {
            let mut altered = sealed.clone();
            altered.ciphertext[index] ^= 1;
            assert!(is_tampered(vault.open_bytes("here", altered)));
        }
        for length in [0, 11, 27, sealed.ciphertext.len() - 1] {
            let mut shorter = sealed.clone();
            shorter.ciphertext.truncate(length);
            assert!(is_tampered(vault.open_bytes("here", shorter)));
        }
    }
}

#[test]
fn fingerprints_depend_on_the_key_that_was_active_at_creation() {
    let vault = Vault::new(ring(&["a", "b"]));
    let fingerprint_of_x = |vault: &Vault| vault.fingerprinter().fingerprint(&[b"x"]);
    let before = vault.fingerprinter();
    assert_eq!(fingerprint_of_x(&vault), fingerprint_of_x(&Vault::new(ring(&["a"]))));
    vault.use_keys_of(&Vault::new(ring(&["b", "a"])));
    assert_ne!(before.fingerprint(&[b"x"]), fingerprint_of_x(&vault));
    assert_eq!(fingerprint_of_x(&vault), fingerprint_of_x(&Vault::new(ring(&["b"]))));
}
