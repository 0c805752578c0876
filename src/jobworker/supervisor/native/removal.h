/* Removes what a job could write in, however deep, large or odd it is.
 *
 * It uses descriptors and O_NOFOLLOW, and never `..`: a process with a descriptor into the tree
 * could move a directory while we are in it, and `..` would then lead out. Where such a process
 * goes on making files, as at level `basic` any job can in another's directory, the time that a
 * call may take is the only end. */

#ifndef REMOVAL_H
#define REMOVAL_H

/* Removes `name` in a directory, if it is there, a directory with all in it or a file, within
 * `seconds`. Returns -1 where something is left. */
int removal_of(const char *name, int parent, double seconds);

#endif
