"""How fast taskforge is, against what, and why to distrust it. Start with README.md beside this file."""
