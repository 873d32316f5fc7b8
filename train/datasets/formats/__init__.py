"""Readers and writers of annotation formats, one module for each.

A reader returns the boxes as their source has them, and names the file and line of every error. No library reads all of
these without loss: globox drops `difficult` and `iscrowd`, supervision decodes every image and drops `difficult`,
pycocotools checks nothing, and none reads the text files of WIDER FACE.
"""
