"""The leaderboard: results folders of several contributors -> entries -> boards -> ranks -> five formats."""
