//! Scripts that somebody thought of: each a name, what is there before, and what
//! is done to it. 65536 is where one piece of a file ends in the store.

/// A story in three parts.
pub(super) type Story = (&'static str, &'static str, &'static str);

pub(super) const STORIES: &[Story] = &[
    ("two files change places", "put /a 65537 1\nput /b 10 2", "rename /a /t\nrename /b /a\nrename /t /b"),
    (
        "two folders change places, with a file open in one",
        "mkdir /a\nput /a/x 65536 1\nmkdir /b\nput /b/y 10 2",
        "open 0 /a/x rw\nrename /a /t\nrename /b /a\nrename /t /b\nwrite 0 65536 1 3\nput /a/y 20 4",
    ),
    (
        "a folder goes over an empty one and not over a full one",
        "mkdir /a\nput /a/x 10 1\nmkdir /empty\nmkdir /full\nput /full/z 10 2",
        "rename /a /full\nrename /a /empty\nrename /full/z /empty\nrename /empty /full/z",
    ),
    (
        "a file that is removed while it is open takes bytes that nobody else sees",
        "put /a 65536 1",
        "open 0 /a rw\nunlink /a\nwrite 0 65536 65536 2\nread 0\nresize 0 3\nread 0\nset-times 0 1",
    ),
    (
        "a name is given away while the first file is open",
        "put /a 100 1",
        "open 0 /a rw\nunlink /a\nput /a 200 2\nwrite 0 0 65537 3\nread 0\nopen 1 /a r\nread 1\nclose 0",
    ),
    (
        "a removed name comes back as something else, and again",
        "put /a 100 1\nmkdir /b\nput /b/x 100 2\nsymlink a /c",
        "unlink /a\nmkdir /a\nput /a/in 10 3\nremove-all /b\nput /b 5 4\nunlink /c\nmkdir /c\nrmdir /c\nsymlink b /c",
    ),
    (
        "a cut file that grows again has zeros where bytes were",
        "put /a 131073 1",
        "open 0 /a rw\nresize 0 65535\nresize 0 131073\nread 0\nresize 0 0\nresize 0 65536\nwrite 0 196608 1 2\nread 0",
    ),
    (
        "holes around the ends of pieces",
        "put /a 1 1",
        "open 0 /a rw\nwrite 0 65535 1 2\nwrite 0 131071 2 3\nwrite 0 262144 1 4\nopen 1 /hole rwc\nresize 1 1048577\nread 0",
    ),
    (
        "a whole piece becomes zeros and a whole file becomes the same bytes",
        "put /a 196608 1\nput /b 65536 2",
        "open 0 /a rw\nresize 0 65536\nresize 0 196608\nput /b 65536 2",
    ),
    (
        "appending where a piece ends",
        "put /a 65535 1\nput /b 65536 2",
        "open 0 /a a\nwrite 0 0 1 3\nwrite 0 0 1 4\nopen 1 /b a\nopen 2 /b rw\nwrite 1 7 65536 5\nresize 2 10\nwrite 1 0 3 6\nread 2",
    ),
    (
        "a name onto itself",
        "put /a 10 1\nmkdir /d\nput /d/x 10 2\nsymlink a /l",
        "rename /a /a\nrename /d /d\nrename /l /l\nrename /d/x /d/x\nrename /d /d/x\nrename /d/x /d\nrename /d /d/e",
    ),
    (
        "a deep folder goes away and comes back",
        "mkdir /a\nmkdir /a/b\nmkdir /a/b/c\nput /a/b/c/x 65537 1\nput /a/b/y 5 2\nset-times-at /a/b/y 999999999",
        "open 0 /a/b/c/x rw\nrename /a/b /z\nwrite 0 1 1 3\nrename /z /a/b\nrename /a /q\nrename /q /a",
    ),
    (
        "an open folder is where it was moved to, and takes nothing when it is gone",
        "mkdir /a\nmkdir /a/b\nmkdir /c",
        "open 0 /a/b r\nrename /a /c/a\nmkdir /a\nmkdir /a/b\nremove-all /a\ncreate-in 1 0 x\nwrite 1 0 9 1\nopen 2 /c r\nremove-all /c\ncreate-in 3 0 y\ncreate-in 3 2 y\nread 1\nmkdir /c\ncreate-in 3 2 z",
    ),
    (
        "links are changed themselves and written through",
        "mkdir /d\nput /d/x 10 1\nsymlink d/x /l\nsymlink d /e\nsymlink nowhere /n\nsymlink round /round",
        "put /l 65536 2\nput /e/y 3 3\nput /n 4 4\nput /round 1 1\nopen 0 /l rwx\nrename /l /d/l\nput /d/l 5 5\nunlink /e\nset-times-at /n 1",
    ),
    (
        "a new file is not made where a link is, wherever that leads",
        "mkdir /d\nput /a 1 1\nsymlink a /l\nsymlink missing /n\nsymlink round /round\nsymlink ../a /d/out",
        "open 0 /l rwx\nopen 0 /n rwx\nopen 0 /round rwx\nrename /d/out /out\nopen 0 /out rwx",
    ),
    (
        "a link that would lead out is refused, and one that comes to lead out leads nowhere",
        "mkdir /d\nput /x 10 1\nsymlink ../x /d/l",
        "symlink ../x /m\nsymlink /x /m\nsymlink ../../x /d/m\nrename /d/l /l\nput /l 5 5\nopen 0 /l r\nsymlink x /l",
    ),
    ("a second name is refused", "put /a 10 1\nmkdir /d", "link /a /b\nlink /missing /b\nlink /d /b\nput /a 11 2"),
    (
        "a folder becomes a link to its copy",
        "mkdir /v1\nput /v1/x 65536 1\nmkdir /v2\nput /v2/x 65536 2\nsymlink v1 /now",
        "symlink v2 /next\nrename /next /now\nput /now/x 65537 3\nremove-all /v1\nrename /v2 /v1",
    ),
    (
        "what is not empty, not a folder, or not there",
        "put /a 1 1\nmkdir /d\nput /d/x 1 1",
        "rmdir /d\nrmdir /a\nunlink /d\nmkdir /a\nmkdir /d\nmkdir /m/n\nput /a/x 1 1\nput /d 1 1\nopen 0 /m r\nunlink /m\nrmdir /m\nrename /m /n\nrename /a /d\nrename /d /a\nrename /a /a/b\nrename /a /m/b",
    ),
    (
        "a file that was changed in place is no folder",
        "put /a 65537 1",
        "open 0 /a rw\nwrite 0 65536 100 2\nwrite 0 0 1 3\nmkdir /a/x\nopen 1 /a/y rwc\nsymlink a /a/z\nunlink /a/v\nrename /a/w /a/u",
    ),
    (
        "the root itself stays where it is",
        "mkdir /d\nput /a 1 1",
        "rmdir /\nunlink /\nrename / /b\nrename /d /\nrename /a /\nmkdir /\nopen 0 / rwx\nsymlink a /",
    ),
    (
        "times are set and kept, and a later write changes them",
        "put /a 10 1\nput /b 10 2\nsymlink a /l",
        "set-times-at /a 1000000000123456789\nset-times-at /l 4102444800000000000\nopen 0 /b rw\nset-times 0 1\nrename /b /c",
    ),
    (
        "names next to one another in the order of the store",
        "mkdir /a\nput /a/x 1 1\nput /a- 2 2\nput /a0 3 3\nput /a.b 4 4\nmkdir /ab\nput /ab/x 5 5",
        "remove-all /a\nrename /ab /a\nput /a/y 6 6",
    ),
];
