//! The names of the stories of the world of hosts: known in a build without the driver, too.

/// What `sim turmoil SEED` can be asked for.
pub const NAMES: &[&str] = &[
    "storm",
    "converge",
    "partition",
    "one_way",
    "crashes",
    "full_disk",
    "sick_disk",
    "restart_loop",
    "carried",
    "late_joiner",
    "wrong_clocks",
];

/// Refuses what is no story.
///
/// # Errors
/// A sentence with the names that there are.
pub fn check(story: &str) -> Result<(), String> {
    if NAMES.contains(&story) {
        return Ok(());
    }
    Err(format!("no story is called {story}; there are {}", NAMES.join(", ")))
}

#[cfg(all(test, feature = "turmoil"))]
mod tests {
    #[test]
    fn they_are_the_names_of_the_stories_that_there_are() {
        let stories: Vec<&str> = crate::turmoil::stories::STORIES.iter().map(|(name, _)| *name).collect();
        assert_eq!(stories, super::NAMES);
    }
}
