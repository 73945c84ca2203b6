//! Leaves its marks, then takes memory until there is none.

fn main() {
    guests::leave_marks();
    let mut taken: Vec<Vec<u8>> = Vec::new();
    loop {
        taken.push(vec![1; 1 << 20]);
        std::hint::black_box(&taken);
    }
}
