//! A power cut at any moment leaves each track at its last step that was said to
//! be done, or at the one that was under way.

use std::path::PathBuf;

use futures_util::future::join_all;

use super::dice::Dice;
use super::disk::Disk;
use super::disk::Event;
use super::image::Cut;
use super::image::Model;
use super::load::Act;
use super::load::Step;
use super::load::home;
use super::load::random_steps;
use super::load::steps;
use crate::store::tests::*;

/// What the store did, and what each track showed after each of its steps.
struct Run {
    root: PathBuf,
    record: Vec<Event>,
    tracks: Vec<Track>,
}

struct Track {
    name: &'static str,
    states: Vec<String>,
}

impl Track {
    async fn new(kit: &Kit, name: &'static str) -> Track {
        Track { name, states: vec![kit.state(name).await.unwrap()] }
    }

    /// Takes steps; `number` is the track's on record.
    async fn walk(&mut self, kit: &Kit, disk: &Disk, number: usize, steps: &[Step]) {
        for step in steps {
            kit.take(self.name, *step).await.unwrap();
            disk.done(number);
            self.states.push(kit.state(self.name).await.unwrap());
        }
    }
}

impl Run {
    /// Opens what a cut has left, and looks at everything.
    async fn check(&self, model: &Model, done: &[usize], mut cut: Cut, what: &str) {
        let home = home();
        model.write(&self.root, home.path(), &mut cut);
        let store = open(home.path(), limits::WORK_BYTES_DEFAULT);
        let kit = Kit { home, store: store.unwrap_or_else(|error| panic!("{what}: {error:?}")) };
        for (track, done) in self.tracks.iter().zip(done) {
            let state = kit.state(track.name).await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
            let may_be = &track.states[*done..track.states.len().min(*done + 2)];
            assert!(may_be.contains(&state), "{what}: {state}\nis none of\n{}", may_be.join("\nor\n"));
        }
        assert_eq!(kit.faults().await.unwrap(), Vec::<String>::new(), "{what}");
        // And it goes on.
        kit.store.recover(now()).await.unwrap();
        assert_eq!(kit.faults().await.unwrap(), Vec::<String>::new(), "{what}, recovered");
        kit.store.create_tenant("later".parse().unwrap(), now()).await.unwrap();
    }

    /// Cuts the power before every event and after the last, in three ways; says
    /// how many images it looked at.
    async fn check_every_prefix(&self) -> usize {
        let (mut model, mut done, mut images) = (Model::default(), vec![0; self.tracks.len()], 0);
        for at in 0..=self.record.len() {
            let what = format!("before event {at}: {:?}", self.record.get(at).map(short));
            let mut cuts = vec![Cut::Everything];
            if !model.is_settled() {
                cuts.push(Cut::ByChance(Dice::new(at as u64)));
                // Otherwise what is synced is what it was before the last event.
                let settled = matches!(self.record[at - 1], Event::Sync(_) | Event::SyncDir(_) | Event::Done(_));
                cuts.extend(settled.then_some(Cut::Synced));
            }
            images += cuts.len();
            for cut in cuts {
                let what = format!("{} {what}", cut.word());
                self.check(&model, &done, cut, &what).await;
            }
            let Some(event) = self.record.get(at) else { break };
            model.follow(event, &mut Cut::Everything);
            if let Event::Done(track) = event {
                done[*track] += 1;
            }
        }
        images
    }
}

/// An event without the bytes.
fn short(event: &Event) -> String {
    format!("{event:?}").chars().take(100).collect()
}

/// From the first start on, with a restart and with the log carried over.
#[tokio::test]
async fn r22_a_power_cut_at_any_moment_leaves_the_old_state_or_the_new() {
    const FIRST: [Act; 14] = [
        Act::Tenant,
        Act::Upload,
        Act::Create,
        Act::Accept,
        Act::Claim,
        Act::Work,
        Act::CarryOver,
        Act::Param,
        Act::Accept,
        Act::Claim,
        Act::Fail,
        Act::Put,
        Act::Upload,
        Act::Unload,
    ];
    const SECOND: [Act; 16] = [
        Act::Accept,
        Act::Claim,
        Act::Work,
        Act::Accept,
        Act::Claim,
        Act::Work,
        Act::Put,
        Act::CarryOver,
        Act::Param,
        Act::Accept,
        Act::Claim,
        Act::Work,
        Act::Fork,
        Act::Revert,
        Act::Mark,
        Act::Remove,
    ];
    let home = home();
    let disk = Disk::under(home.path());
    let kit = Kit { store: open(home.path(), limits::WORK_BYTES_DEFAULT).unwrap(), home };
    let mut track = Track::new(&kit, "ann").await;
    track.walk(&kit, &disk, 0, &steps(&FIRST)).await;
    let kit = kit.reopened();
    let second: Vec<_> = steps(&SECOND).into_iter().map(|step| Step { number: step.number + 100, ..step }).collect();
    track.walk(&kit, &disk, 0, &second).await;
    drop(kit.store);
    let run = Run { root: disk.root().to_owned(), record: disk.record(), tracks: vec![track] };
    let images = run.check_every_prefix().await;
    println!("{} events, {} steps, {images} images", run.record.len(), FIRST.len() + SECOND.len());
}

/// Three principals at once, whose steps share commits.
#[tokio::test]
async fn r22_a_power_cut_under_load_leaves_the_old_state_or_the_new() {
    let (seed, cuts) = (number("SESSILE_POWER_SEED", 1), number("SESSILE_POWER_CUTS", 200));
    let mut dice = Dice::new(seed);
    let home = home();
    let disk = Disk::under(home.path());
    let kit = Kit { store: open(home.path(), limits::WORK_BYTES_DEFAULT).unwrap(), home };
    for step in steps(&[Act::Tenant, Act::Upload]) {
        kit.take("ann", step).await.unwrap();
    }
    let begun = disk.record().len();
    let walks = ["ann", "bob", "eve"].into_iter().enumerate().map(|(number, name)| {
        let steps = random_steps(100, &mut dice);
        let (kit, disk) = (&kit, &disk);
        async move {
            let mut track = Track::new(kit, name).await;
            track.walk(kit, disk, number, &steps).await;
            track
        }
    });
    let tracks = join_all(walks.collect::<Vec<_>>()).await;
    let run = Run { root: disk.root().to_owned(), record: disk.record(), tracks };
    let mut points: Vec<_> = (0..cuts).map(|_| begun + dice.roll((run.record.len() - begun) as u64) as usize).collect();
    points.sort_unstable();
    let (mut model, mut done, mut followed) = (Model::default(), vec![0; run.tracks.len()], 0);
    for at in points {
        for event in &run.record[followed..at] {
            model.follow(event, &mut Cut::Everything);
            if let Event::Done(track) = event {
                done[*track] += 1;
            }
        }
        followed = at;
        let cut = if dice.roll(4) == 0 { Cut::Synced } else { Cut::ByChance(dice.split()) };
        let what = format!("seed {seed}, {}, before event {at}", cut.word());
        run.check(&model, &done, cut, &what).await;
    }
    println!("{} events, {cuts} images", run.record.len());
}

/// A number from outside, for longer runs and to repeat one.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}
