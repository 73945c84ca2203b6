//! The guests that `build.rs` has built, by name.
//!
//! Not here: what each does. That is the first line of its source, in
//! `guests/src/bin/` or `examples/`.

use std::fs;

/// One module that a test may run: as a core module, or as a component.
#[derive(Clone, Copy, Debug)]
pub struct Guest {
    name: &'static str,
    p1: &'static str,
    p2: Option<&'static str>,
}

/// One dress of a guest, ready to be uploaded.
#[derive(Clone, Debug)]
pub struct Dressed {
    /// The name that it gets on the server.
    pub name: String,
    path: &'static str,
}

impl Guest {
    /// The guest as a core module and, where it has one, its twin as a
    /// component: a promise about files holds on both surfaces.
    pub fn dresses(self) -> Vec<Dressed> {
        let p1 = Dressed::from(self);
        let p2 = self.p2.map(|path| Dressed { name: format!("{}-p2", self.name), path });
        [Some(p1), p2].into_iter().flatten().collect()
    }

    /// The guest as a component.
    #[track_caller]
    pub fn component(self) -> Dressed {
        let found = self.dresses().into_iter().nth(1);
        found.unwrap_or_else(|| panic!("the guest `{}` has no twin for preview 2", self.name))
    }
}

impl Dressed {
    /// The wasm binary.
    pub fn bytes(&self) -> Vec<u8> {
        fs::read(self.path).unwrap_or_else(|error| panic!("{}: {error}; build the tests again", self.path))
    }
}

impl From<Guest> for Dressed {
    fn from(guest: Guest) -> Self {
        Self { name: guest.name.to_owned(), path: guest.p1 }
    }
}

include!(concat!(env!("OUT_DIR"), "/guests.rs"));
