//! A model of `pin`, with the store buffers of the processor, that goes through every interleaving: two
//! threads protect and use an object, one of them twice, while a third takes it away and a fourth sweeps
//! because of another one. Nobody uses what has been freed, it is freed once, and it is freed when all have
//! ended. The steps are those of `pin`, in the order of the code; in another order the model finds what goes
//! wrong.

use hashbrown::HashSet;

/// What the code does, and what it might do instead.
#[derive(Clone, Copy)]
struct Design {
    /// `barrier::heavy` makes all threads pass a fence, and `barrier::light` is none. Else both are plain
    /// fences.
    asymmetric: bool,
    list_before_fence: bool,
    look_again: bool,
}

const CODE: Design = Design { asymmetric: true, list_before_fence: true, look_again: true };

const READERS: usize = 2;
const THREADS: usize = READERS + 2;
/// How often each thread begins.
const ROUNDS: [u8; THREADS] = [2, 1, 1, 1];

/// Places of memory that are stored to, and not only exchanged: whether a reader's slot names the object,
/// and whether it was asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Place {
    Used(usize),
    Asked(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Step {
    // A reader: `protect`, the use, `drop`, `answer`.
    Load,
    StoreUsed,
    LoadAgain,
    Use,
    ClearUsed,
    LookAsked,
    Answer,
    // The remover: `retire`.
    Unlink,
    Retire,
    // `sweep`, of any of them. The fourth does nothing else.
    Sweep,
    Take,
    Fence,
    Scan(usize),
    Decide,
    Bury,
    Ask(usize),
    FenceAgain,
    LookBack(usize),
    End,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Thread {
    step: Step,
    rounds: u8,
    /// Whether this sweep took the object from the list.
    took: bool,
    users: [bool; READERS],
    /// Stores that nobody else sees yet, the oldest first.
    stores: Vec<(Place, bool)>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    linked: bool,
    used: [bool; READERS],
    asked: [bool; READERS],
    buried: bool,
    freed: bool,
    threads: [Thread; THREADS],
}

impl State {
    fn start() -> Self {
        let thread = |i: usize| Thread {
            step: match i {
                0..READERS => Step::Load,
                READERS => Step::Unlink,
                _ => Step::Sweep,
            },
            rounds: ROUNDS[i],
            took: false,
            users: [false; READERS],
            stores: Vec::new(),
        };
        Self {
            linked: true,
            used: [false; READERS],
            asked: [false; READERS],
            buried: false,
            freed: false,
            threads: std::array::from_fn(thread),
        }
    }

    fn load(&self, i: usize, place: Place) -> bool {
        let own = self.threads[i].stores.iter().rev().find(|(at, _)| *at == place);
        own.map_or_else(
            || match place {
                Place::Used(slot) => self.used[slot],
                Place::Asked(slot) => self.asked[slot],
            },
            |(_, value)| *value,
        )
    }

    fn store(&mut self, i: usize, place: Place, value: bool) {
        self.threads[i].stores.push((place, value));
    }

    /// The oldest store of a thread arrives.
    fn arrive(&mut self, i: usize) {
        let (place, value) = self.threads[i].stores.remove(0);
        match place {
            Place::Used(slot) => self.used[slot] = value,
            Place::Asked(slot) => self.asked[slot] = value,
        }
    }

    /// A fence of one thread: also an exchange is.
    fn fence(&mut self, i: usize) {
        while !self.threads[i].stores.is_empty() {
            self.arrive(i);
        }
    }

    fn light(&mut self, i: usize, design: Design) {
        if !design.asymmetric {
            self.fence(i);
        }
    }

    fn heavy(&mut self, i: usize, design: Design) {
        self.fence(i);
        if design.asymmetric {
            (0..THREADS).for_each(|other| self.fence(other));
        }
    }

    fn end(&mut self, i: usize) -> Step {
        let thread = &mut self.threads[i];
        // What it knows is of no meaning any more.
        thread.users = [false; READERS];
        thread.rounds -= 1;
        if thread.rounds == 0 { Step::End } else { Step::Load }
    }

    /// Does the next step of a thread; what went wrong, if it did.
    fn act(&mut self, i: usize, design: Design) -> Result<(), &'static str> {
        let next = match self.threads[i].step {
            Step::Load if self.linked => Step::StoreUsed,
            Step::Load => self.end(i),
            Step::StoreUsed => {
                self.store(i, Place::Used(i), true);
                Step::LoadAgain
            }
            Step::LoadAgain => {
                self.light(i, design);
                if self.linked { Step::Use } else { Step::ClearUsed }
            }
            // Its last use: what is freed stays freed.
            Step::Use if self.freed => return Err("used after free"),
            Step::Use => Step::ClearUsed,
            Step::ClearUsed => {
                self.store(i, Place::Used(i), false);
                Step::LookAsked
            }
            Step::LookAsked => {
                self.light(i, design);
                if self.load(i, Place::Asked(i)) { Step::Answer } else { self.end(i) }
            }
            Step::Answer => {
                self.fence(i);
                match std::mem::replace(&mut self.asked[i], false) {
                    true => Step::Sweep,
                    false => self.end(i),
                }
            }
            Step::Unlink => {
                self.linked = false;
                Step::Retire
            }
            Step::Retire => {
                self.fence(i);
                self.buried = true;
                Step::Sweep
            }
            Step::Sweep if design.list_before_fence => Step::Take,
            Step::Sweep => Step::Fence,
            Step::Take => {
                self.fence(i);
                let took = std::mem::replace(&mut self.buried, false);
                self.threads[i].took = took;
                match (took, design.list_before_fence) {
                    (false, _) => self.end(i),
                    (true, true) => Step::Fence,
                    (true, false) => Step::Scan(0),
                }
            }
            Step::Fence => {
                self.heavy(i, design);
                if self.threads[i].took { Step::Scan(0) } else { Step::Take }
            }
            Step::Scan(slot) => {
                self.threads[i].users[slot] = self.load(i, Place::Used(slot));
                if slot + 1 < READERS { Step::Scan(slot + 1) } else { Step::Decide }
            }
            Step::Decide => {
                self.threads[i].took = false;
                if self.threads[i].users.contains(&true) {
                    Step::Bury
                } else if std::mem::replace(&mut self.freed, true) {
                    return Err("freed twice");
                } else {
                    self.end(i)
                }
            }
            Step::Bury => {
                self.fence(i);
                self.buried = true;
                Step::Ask(0)
            }
            Step::Ask(slot) => {
                if self.threads[i].users[slot] {
                    self.store(i, Place::Asked(slot), true);
                }
                match (slot + 1 < READERS, design.look_again) {
                    (true, _) => Step::Ask(slot + 1),
                    (false, true) => Step::FenceAgain,
                    (false, false) => self.end(i),
                }
            }
            Step::FenceAgain => {
                self.heavy(i, design);
                Step::LookBack(0)
            }
            Step::LookBack(slot) => {
                if self.threads[i].users[slot] && self.load(i, Place::Used(slot)) {
                    self.end(i)
                } else if slot + 1 < READERS {
                    Step::LookBack(slot + 1)
                } else {
                    self.threads[i].users = [false; READERS];
                    Step::Sweep
                }
            }
            Step::End => Step::End,
        };
        self.threads[i].step = next;
        Ok(())
    }

    fn has_ended(&self) -> bool {
        self.threads.iter().all(|thread| thread.step == Step::End && thread.stores.is_empty())
    }
}

/// How many states there are, or what goes wrong in one of them.
fn explore(design: Design) -> Result<usize, &'static str> {
    let mut seen: HashSet<State> = HashSet::new();
    seen.insert(State::start());
    let mut todo = vec![State::start()];
    while let Some(state) = todo.pop() {
        if state.has_ended() && !state.freed {
            return Err("never freed");
        }
        for i in 0..THREADS {
            let mut followers = Vec::new();
            if state.threads[i].step != Step::End {
                let mut next = state.clone();
                next.act(i, design)?;
                followers.push(next);
            }
            if !state.threads[i].stores.is_empty() {
                let mut next = state.clone();
                next.arrive(i);
                followers.push(next);
            }
            for next in followers {
                if seen.insert(next.clone()) {
                    todo.push(next);
                }
            }
        }
    }
    Ok(seen.len())
}

#[test]
fn nothing_goes_wrong_in_any_interleaving() {
    for asymmetric in [true, false] {
        let states = explore(Design { asymmetric, ..CODE }).unwrap();
        assert!(states > 10_000, "{states} states are too few to show anything");
    }
}

#[test]
fn a_fence_before_the_list_is_a_use_after_free() {
    assert_eq!(explore(Design { list_before_fence: false, ..CODE }), Err("used after free"));
}

#[test]
fn not_looking_whether_somebody_was_there_to_ask_leaves_it_for_ever() {
    assert_eq!(explore(Design { look_again: false, ..CODE }), Err("never freed"));
}
