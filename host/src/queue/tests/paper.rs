//! What one would write down: who stands in which line, which sessions there
//! are, and what each job plans.
//!
//! Not here: lanes, places, turns and lives. This is another way to the same.

use super::IDS;
use super::Id;
use super::Start;

#[derive(Default)]
pub(super) struct Paper {
    /// For each id those in its line, the first of whom has the turn.
    lines: [Vec<usize>; IDS.len()],
    jobs: Vec<Card>,
    sessions: Vec<Sheet>,
}

/// A job.
#[derive(Default)]
struct Card {
    named: Option<Id>,
    /// The session that was there when it was handed in.
    meant: Option<usize>,
    runs: bool,
    over: bool,
    inside: Option<usize>,
    /// Its session is one that it made.
    made_it: bool,
    plans: Plans,
}

/// What is to become of the session of a job that did not make it.
#[derive(Clone, Copy, Default, PartialEq)]
enum Plans {
    #[default]
    Nothing,
    NewId(Id),
    Deletion,
}

/// A session.
struct Sheet {
    id: Id,
    there: bool,
    dropped: bool,
}

impl Paper {
    pub(super) fn make(&mut self, id: Id) -> bool {
        if self.taken(id) {
            return false;
        }
        self.sessions.push(Sheet { id, there: true, dropped: false });
        true
    }

    pub(super) fn submit(&mut self, named: Option<Id>) -> bool {
        let meant = named.and_then(|id| self.usable(id)).filter(|session| !self.being_deleted(*session));
        if let Some(id) = named {
            self.lines[id].push(self.jobs.len());
        }
        self.jobs.push(Card { named, meant, ..Card::default() });
        true
    }

    pub(super) fn create(&mut self, job: usize, id: Id) -> bool {
        if self.jobs[job].inside.is_some() || !self.make(id) {
            return false;
        }
        self.jobs[job].inside = Some(self.sessions.len() - 1);
        self.jobs[job].made_it = true;
        self.stand_second(job, id);
        true
    }

    pub(super) fn rename(&mut self, job: usize, to: Id) -> bool {
        let Some(session) = self.usable_of(job) else { return false };
        let (own, plans) = (self.sessions[session].id, self.jobs[job].plans);
        if plans == Plans::Deletion {
            return false;
        }
        let is_there = if self.jobs[job].made_it { own } else { self.planned_id(job).unwrap_or(own) };
        if to == is_there {
            return true;
        }
        if to != own && self.taken(to) {
            return false;
        }
        if self.jobs[job].made_it {
            self.stand_second(job, to);
            self.step_out(job, own);
            self.sessions[session].id = to;
            return true;
        }
        self.give_up_planned_id(job);
        if to != own {
            self.stand_second(job, to);
            self.jobs[job].plans = Plans::NewId(to);
        }
        true
    }

    pub(super) fn delete(&mut self, job: usize) -> bool {
        let Some(session) = self.usable_of(job) else { return false };
        if self.jobs[job].made_it {
            self.sessions[session].there = false;
            self.step_out(job, self.sessions[session].id);
            self.jobs[job].inside = None;
            self.jobs[job].made_it = false;
        } else {
            self.give_up_planned_id(job);
            self.jobs[job].plans = Plans::Deletion;
        }
        true
    }

    pub(super) fn finish(&mut self, job: usize, well: bool) -> bool {
        let dropped = self.jobs[job].inside.is_some_and(|session| self.sessions[session].dropped);
        let kept = well && !dropped;
        if let Some(session) = self.jobs[job].inside {
            let sheet = &mut self.sessions[session];
            match self.jobs[job].plans {
                _ if dropped => sheet.there = false,
                Plans::Deletion if kept => sheet.there = false,
                Plans::NewId(id) if kept => sheet.id = id,
                _ => {}
            }
        }
        self.lines.iter_mut().for_each(|line| line.retain(|other| *other != job));
        (self.jobs[job].runs, self.jobs[job].over) = (false, true);
        kept
    }

    pub(super) fn cancel(&mut self, job: usize) -> bool {
        self.finish(job, false);
        true
    }

    pub(super) fn drop_session(&mut self, id: Id) -> bool {
        let Some(session) = self.usable(id).filter(|session| !self.being_deleted(*session)) else { return false };
        let at_work = self.jobs.iter().any(|job| job.runs && job.inside == Some(session));
        self.sessions[session].dropped = at_work;
        self.sessions[session].there = at_work;
        true
    }

    pub(super) fn expire(&mut self, id: Id) -> bool {
        let Some(session) = self.usable(id).filter(|_| self.lines[id].is_empty()) else { return false };
        self.sessions[session].there = false;
        true
    }

    /// Whoever is first in the line of the id that it named begins.
    pub(super) fn start(&mut self) -> Vec<Start> {
        let mut started = Vec::new();
        for number in 0..self.jobs.len() {
            let job = &self.jobs[number];
            let first = job.named.is_none_or(|id| self.lines[id].first() == Some(&number));
            if job.runs || job.over || !first {
                continue;
            }
            let now = job.named.and_then(|id| self.usable(id));
            let inside = now.filter(|now| job.meant.is_none_or(|meant| meant == *now));
            (self.jobs[number].runs, self.jobs[number].inside) = (true, inside);
            started.push((number, inside));
        }
        started
    }

    pub(super) fn running(&self) -> Vec<usize> {
        (0..self.jobs.len()).filter(|job| self.jobs[*job].runs).collect()
    }

    pub(super) fn unended(&self) -> Vec<usize> {
        (0..self.jobs.len()).filter(|job| !self.jobs[*job].over).collect()
    }

    pub(super) fn sessions(&self) -> Vec<(usize, String, bool)> {
        let there = self.sessions.iter().enumerate().filter(|(_, sheet)| sheet.there);
        there.map(|(number, sheet)| (number, IDS[sheet.id].to_owned(), sheet.dropped)).collect()
    }

    /// The session that a job is in.
    pub(super) fn inside(&self, job: usize) -> Option<usize> {
        self.jobs[job].inside
    }

    /// Every id that is kept for a session which its job renames.
    pub(super) fn pending(&self) -> Vec<String> {
        let mut ids: Vec<_> = self.running().into_iter().filter_map(|job| self.planned_id(job)).collect();
        ids.sort();
        ids.into_iter().map(|id| IDS[id].to_owned()).collect()
    }

    /// Whether a job is about to delete a session.
    pub(super) fn being_deleted(&self, session: usize) -> bool {
        self.jobs.iter().any(|job| job.runs && job.inside == Some(session) && job.plans == Plans::Deletion)
    }

    pub(super) fn line(&self, id: Id) -> usize {
        self.lines[id].len()
    }

    fn taken(&self, id: Id) -> bool {
        let of_session = self.sessions.iter().any(|sheet| sheet.there && sheet.id == id);
        of_session || self.running().into_iter().any(|job| self.planned_id(job) == Some(id))
    }

    fn usable(&self, id: Id) -> Option<usize> {
        self.sessions.iter().position(|sheet| sheet.there && !sheet.dropped && sheet.id == id)
    }

    fn usable_of(&self, job: usize) -> Option<usize> {
        self.jobs[job].inside.filter(|session| !self.sessions[*session].dropped)
    }

    fn planned_id(&self, job: usize) -> Option<Id> {
        match self.jobs[job].plans {
            Plans::NewId(id) => Some(id),
            Plans::Nothing | Plans::Deletion => None,
        }
    }

    fn give_up_planned_id(&mut self, job: usize) {
        if let Some(id) = self.planned_id(job) {
            self.step_out(job, id);
            self.jobs[job].plans = Plans::Nothing;
        }
    }

    /// Before all who wait, behind the one whose turn it is.
    fn stand_second(&mut self, job: usize, id: Id) {
        let at = self.lines[id].len().min(1);
        self.lines[id].insert(at, job);
    }

    /// Leaves the place that was taken last; the turn stays.
    fn step_out(&mut self, job: usize, id: Id) {
        let at = self.lines[id].iter().rposition(|other| *other == job).unwrap();
        self.lines[id].remove(at);
    }
}
