//! The power is cut, the disk is full, the disk is broken.
//!
//! [`disk`] records all that the store asks of the disk and fails on demand;
//! SQLite comes to it through [`vfs`], the store's own files through
//! `durable::tell`. [`image`] makes of a record what a power cut would leave,
//! [`load`] is what the store was doing, and [`cuts`], [`faults`] and
//! [`quarantine`] hold the promises.

mod cuts;
mod dice;
mod disk;
mod faults;
mod image;
mod load;
mod quarantine;
mod vfs;

pub(crate) use self::dice::Dice;
pub(crate) use self::disk::Disk;
pub(crate) use self::disk::Fault;
pub(crate) use self::disk::Lasts;
pub(crate) use self::disk::Trouble;
pub(in crate::store) use self::disk::tell;
pub(crate) use self::image::blackout;
